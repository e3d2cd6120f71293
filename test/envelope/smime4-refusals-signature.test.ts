/** What is refused of the signature and the certificates of smime-4. The numbers are those of the list of refusals of the format. */
import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { oids } from "../../envelope/algorithms.ts";
import {
  children,
  context,
  cursor,
  integer,
  nothing,
  octetString,
  oid,
  read,
  sequence,
  setOf,
  tag,
  tlv,
} from "../../envelope/cms/der.ts";
import type { Profile } from "../../envelope/issue.ts";
import { signerFrom } from "../../envelope/keys.ts";
import { retag } from "../../envelope/signed-data.ts";
import { a, authority, b, c, ca, dayMs, issue, later, type Party, party, trust } from "./parties.ts";
import { octets, sha256 } from "./samples.ts";
import { envelopedFor, forge, headers, innerOf, openAll, signedOver } from "./smime4-forge.ts";
import { check, honest, replaceOid } from "./smime4-refusing.ts";

/** The SignedData with its fields changed: version, digests, content, certificates, signers. */
const data =
  (change: (fields: readonly Uint8Array[]) => readonly Uint8Array[]) =>
  (der: Uint8Array): Uint8Array => {
    const [type, wrapper] = children(read(der));
    const [signed] = wrapper ? children(wrapper) : [];
    const fields = signed ? children(signed).map(({ raw }) => raw) : [];
    return sequence(type?.raw ?? octets(0), tlv(context(0), sequence(...change(fields))));
  };
/** Its only SignerInfo: version, sid, digest, attributes, algorithm, signature. */
const signer = (change: (fields: readonly Uint8Array[]) => readonly Uint8Array[]) =>
  data((fields) => {
    const [info] = children(read(fields[4] ?? octets(0)));
    return fields.with(4, setOf(sequence(...change(info ? children(info).map(({ raw }) => raw) : []))));
  });

/** Signs again, with the signed attributes changed. */
const attributed =
  (change: (attributes: readonly Uint8Array[], entity: Uint8Array) => readonly Uint8Array[], order = setOf) =>
  async (der: Uint8Array, entity: Uint8Array): Promise<Buffer> => {
    const [, wrapper] = children(read(der));
    const [signed] = wrapper ? children(wrapper) : [];
    const infos = signed ? children(signed).at(-1) : undefined;
    const [info] = infos ? children(infos) : [];
    const attributes = info ? children(info)[3] : undefined;
    const all = change(attributes ? children(attributes).map(({ raw }) => raw) : [], entity);
    const set = order(...all);
    const signature = octetString(await a.signer.sign(set));
    return Buffer.from(signer((fields) => fields.with(3, retag(set, context(0))).with(5, signature))(der));
  };
const isOf = (type: string) => (attribute: Uint8Array) =>
  Buffer.from(cursor(read(attribute)).take(tag.oid, "type").raw).equals(oid(type));
const dropped = (type: string) => attributed((all) => all.filter((each) => !isOf(type)(each)));
const replaced = (type: string, ...values: readonly Uint8Array[]) =>
  attributed((all) => [...all.filter((each) => !isOf(type)(each)), sequence(oid(type), setOf(...values))]);

describe("signature", () => {
  const rsa = party("hospital-d", ca, "rsa");
  const digest = (entity: Uint8Array) => octetString(createHash("sha256").update(entity).digest());
  check(
    {
      "53 by another valid hospital": { signer: c.signer, cause: /^the sender is not the one who signed/ },
      "53 a certificate that is nobody's": { known: [b, c] },
      "54 no signed attributes": { signed: signer((fields) => fields.toSpliced(3, 1)), cause: /signedAttrs expected/ },
      "55 no content": {
        signed: data((fields) => fields.with(2, sequence(oid(oids.data)))),
        cause: /eContent expected/,
      },
      "56 no signer": { signed: data((fields) => fields.with(4, setOf())) },
      "56 two signers": {
        signed: data((fields) => {
          const [info] = children(read(fields[4] ?? octets(0)));
          return fields.with(4, setOf(...Array(2).fill(info?.raw)));
        }),
      },
      "58 SHA-1": { signed: data((fields) => fields.with(1, setOf(sequence(oid("1.3.14.3.2.26"))))) },
      "58 two digest algorithms": {
        signed: data((fields) => fields.with(1, setOf(sequence(oid(oids.sha256)), sequence(oid(oids.sha512))))),
        cause: /more than one digest algorithm/,
      },
      "58 a digest that does not go with the signature": {
        signed: (der) =>
          signer((fields) => fields.with(2, sequence(oid(oids.sha512))))(
            data((fields) => fields.with(1, setOf(sequence(oid(oids.sha512)))))(der),
          ),
        cause: /does not go with the signature/,
      },
      "74 17 certificates": {
        signed: data((fields) => fields.with(3, tlv(context(0), ...Array(17).fill(a.signer.certificate)))),
        cause: /more than 16 certificates/,
      },
      "an algorithm of no RSA key": {
        draft: { sender: rsa.org },
        signer: rsa.signer,
        known: [rsa],
        signed: signer((fields) => fields.with(4, sequence(oid("1.2.840.113549.1.1.5"), nothing))),
        cause: /not taken here/,
      },
      "58 two digests in two places": {
        signed: signer((fields) => fields.with(2, sequence(oid(oids.sha512)))),
      },
      "86 another content type": {
        signed: (der) => replaceOid(der, oids.data, "1.2.840.113549.1.7.5"),
        cause: /another content than id-data/,
      },
      "no certificates": { signed: data((fields) => fields.toSpliced(3, 1)) },
      "a signature of something else": { signed: signer((fields) => fields.with(5, octetString(octets(64)))) },
      "the algorithm of another key": {
        signed: signer((fields) => fields.with(4, sequence(oid(oids.rsaEncryption), nothing))),
      },
      "versions that do not fit": { signed: signer((fields) => fields.with(0, integer(1))) },
      "unsigned attributes": { signed: signer((fields) => [...fields, tlv(context(1))]), cause: /SignerInfo/ },
      "79 signed at another time than created": {
        signedAt: later(-6 * 60_000),
        cause: /^signing-time and created differ/,
      },
    },
    /^signature: /,
  );

  type Signing = (der: Uint8Array, entity: Uint8Array) => Promise<Buffer>;
  const signings: Readonly<Record<string, Signing>> = {
    "54 no content-type": dropped(oids.contentType),
    "54 no message-digest": dropped(oids.messageDigest),
    "54 the digest of something else": replaced(oids.messageDigest, digest(octets(3))),
    "54 two message-digests in one": attributed((all, entity) => [
      ...all.filter((each) => !isOf(oids.messageDigest)(each)),
      sequence(oid(oids.messageDigest), tlv(tag.set, digest(entity), digest(entity))),
    ]),
    "54 two message-digest attributes": attributed((all) => [...all, ...all.filter(isOf(oids.messageDigest))]),
    "29 attributes in another order": attributed(
      (all) => all,
      (...all) => tlv(tag.set, ...[...all].sort(Buffer.compare).reverse()),
    ),
    "33 attributes": attributed((all) => [
      ...all,
      ...Array.from({ length: 28 }, (_, arc) => sequence(oid(`1.2.3.${arc}`), setOf(nothing))),
    ]),
    "signing-certificate-v2 of another": replaced(
      oids.signingCertificateV2,
      sequence(sequence(sequence(octetString(Buffer.from(sha256(c.signer.certificate), "hex"))))),
    ),
    "algorithm protection for another": replaced(oids.cmsAlgorithmProtection, sequence(sequence(oid(oids.sha512)))),
  };
  const inside = async (signing: Signing): Promise<Uint8Array> => {
    const entity = await honest();
    return await envelopedFor(Buffer.from(innerOf(await signing(await signedOver(entity, a.signer), entity))));
  };
  test.each(Object.entries(signings))("%s", async (_, signing) => {
    const body = await inside(signing);
    const expected = { code: "ENVELOPE_NOT_OPENED", message: expect.stringMatching(/^signature: /) };
    await expect(openAll({ headers, body })).rejects.toMatchObject(expected);
  });
  test("what may be left out, and what is not known, is no reason to refuse", async () => {
    const unknown = sequence(oid("1.2.840.113549.1.9.15"), setOf(sequence()));
    for (const signing of [
      dropped(oids.signingTime),
      dropped(oids.signingCertificateV2),
      dropped(oids.cmsAlgorithmProtection),
      attributed((all) => [...all, unknown]),
    ])
      expect(await openAll({ headers, body: await inside(signing) })).toBe(2);
  });

  test("68 revocation lists in a message are passed over", async () => {
    const withLists = data((fields) => fields.toSpliced(4, 0, tlv(context(1), ca.crl([a.signer.certificate]))));
    expect(await openAll(await forge({ signed: (der) => withLists(der) }))).toBe(2);
  });

  test.each([0, 20])("59 a salt of %i octets", async (salt) => {
    const parameters = (saltLength: number) =>
      sequence(
        oid(oids.rsassaPss),
        sequence(
          tlv(context(0), sequence(oid(oids.sha256))),
          tlv(context(1), sequence(oid(oids.mgf1), sequence(oid(oids.sha256)))),
          tlv(context(2), integer(saltLength)),
        ),
      );
    const forged = await forge({
      draft: { sender: rsa.org },
      signer: rsa.signer,
      signed: signer((fields) => fields.with(4, parameters(salt))),
    });
    await expect(openAll(forged, {}, [rsa])).rejects.toMatchObject({
      message: expect.stringMatching(/^signature: an algorithm/),
    });
  });
});

describe("certificates", () => {
  const stranger = party(a.org, authority("elsewhere"));
  const tls = certifiedFor("tls");
  const decrypting = certifiedFor("decrypt");
  const expired = certifiedFor("sign", { notBefore: later(-20 * dayMs), notAfter: later(-dayMs) });
  check(
    {
      "67 revoked": { opening: { trust: { ...trust, crls: [ca.crl([a.signer.certificate])] } } },
      "68 no current revocation list": { opening: { trust: { ...trust, crls: [ca.crl([], later(-1))] } } },
      "66 expired": { signer: expired.signer, known: [expired] },
      "an authority that nobody trusts": { signer: stranger.signer, known: [stranger] },
      "87 a TLS certificate": { signer: tls.signer, known: [tls] },
      "87 a certificate that decrypts": { signer: decrypting.signer, known: [decrypting] },
    },
    /^signature: /,
  );
});

function certifiedFor(profile: Profile, validity?: { readonly notBefore: Date; readonly notAfter: Date }): Party {
  const { key, certificate } = issue(a.org, profile, ca, "ec", validity);
  return { ...a, signer: signerFrom(key, certificate) };
}
