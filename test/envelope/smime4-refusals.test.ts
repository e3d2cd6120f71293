/** What is refused of smime-4, one wrong thing at a time. The numbers are those of the list of refusals of the format. */
import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { oids } from "../../envelope/algorithms.ts";
import { readCertificate } from "../../envelope/certificate.ts";
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
import { openSmime4, type Smime4Opening, seal, sealSmime4 } from "../../envelope/index.ts";
import type { Profile } from "../../envelope/issue.ts";
import { signerFrom } from "../../envelope/keys.ts";
import { wrapFor } from "../../envelope/recipient.ts";
import { retag } from "../../envelope/signed-data.ts";
import type { ErrorCode } from "../../errors.ts";
import { a, authority, b, c, ca, dayMs, issue, later, now, type Party, party, trust } from "./parties.ts";
import { bodyOf, draftOf, flipped, inPieces, octets, record, sha256 } from "./samples.ts";
import {
  envelopedFor,
  type Forgery,
  forge,
  headers,
  honestEntity,
  innerOf,
  openAll,
  signedOver,
  smime4Opening,
  withValue,
} from "./smime4-forge.ts";

type Refusal = Forgery & {
  readonly opening?: Partial<Smime4Opening>;
  readonly known?: readonly Party[];
  readonly code?: ErrorCode;
  readonly cause?: RegExp;
};

const check = (table: Readonly<Record<string, Refusal>>, kind: RegExp, otherwise: ErrorCode = "ENVELOPE_NOT_OPENED") =>
  test.each(Object.entries(table))("%s", async (_, { opening, known, code, cause, ...forgery }) => {
    const expected = { name: "Fault", code: code ?? otherwise, message: expect.stringMatching(cause ?? kind) };
    await expect(openAll(await forge(forgery), opening, known)).rejects.toMatchObject(expected);
  });

const text = (change: (entity: string) => string): Forgery => ({
  entity: (entity) => Buffer.from(change(entity.toString("latin1")), "latin1"),
});
const without = (name: string): Forgery => ({ head: (head) => head.replace(new RegExp(`\r\n${name}: [^\r]*`), "") });
const twice = (name: string): Forgery => ({
  head: (head) => head.replace(new RegExp(`\r\n${name}: [^\r]*`), (line) => line + line),
});
const valued = (name: string, value: string): Forgery => ({ head: withValue(name, value) });
const typed = (value: string): Forgery => ({
  headers: (all) => all.map(([name, each]): [string, string] => [name, name === "Content-Type" ? value : each]),
});

const honest = async (): Promise<Buffer> => await honestEntity(draftOf(await record(500)), a.signer);

const signedHeaders = [
  "Sender Receiver SymmetricAlg AsymmetricAlg DistAlg SignAlg BodypartCnt HeaderCnt MessageType"
    .split(" ")
    .map((name) => `X-EEC-${name}`),
  "Id Message Created Expires Purpose To In-Reply-To Request-Digest".split(" ").map((name) => `X-SEMRS-${name}`),
].flat();

test("42 one bit changed in any octet of the message", async () => {
  const envelope = await sealSmime4(draftOf(await record(50)), a.signer, now);
  const body = await bodyOf(envelope);
  for (let at = 0; at < body.length; at += at < 300 || at > body.length - 60 ? 1 : 7) {
    for (const bit of [0, 7]) {
      const changed = Buffer.from(body);
      changed[at] = (changed[at] ?? 0) ^ (1 << bit);
      const refusal = openSmime4(envelope.headers, inPieces(changed), smime4Opening());
      await expect(refusal, `octet ${at}`).rejects.toMatchObject({ code: "ENVELOPE_NOT_OPENED" });
    }
  }
});

test("42 one bit changed in what is signed, under a tag that holds", async () => {
  const { body } = await forge({});
  expect(await openAll({ headers, body })).toBe(2);
  const signed = await honest();
  const der = await signedOver(signed, a.signer);
  const start = der.indexOf(signed.subarray(0, 100));
  for (let at = start; at < start + signed.length; at += 11) {
    const forged = await envelopedFor(Buffer.from(innerOf(flipped(der, at))));
    await expect(openAll({ headers, body: forged })).rejects.toMatchObject({
      code: "ENVELOPE_NOT_OPENED",
      message: "signature: message-digest missing or wrong",
    });
  }
});

describe("profile", () => {
  check(
    {
      "18 no media type": { headers: () => [] },
      "18 another smime-type": typed("application/pkcs7-mime; smime-type=enveloped-data"),
      "18 two smime-types": typed("application/pkcs7-mime; smime-type=signed-data; smime-type=authEnveloped-data"),
      "20 a clear header of another profile": { headers: (all) => [...all, ["X-SEMRS-Profile", "semrs-2"]] },
      "20 a clear header of the paper": { headers: (all) => [...all, ["X-EEC-Sender", "hospital-a"]] },
    },
    /no envelope profile/,
    "ENVELOPE_UNSUPPORTED",
  );
  check(
    {
      "3 two media types": {
        headers: (all) => [...all, ...all.slice(1, 2)],
        code: "ENVELOPE_UNSUPPORTED",
        cause: /no envelope profile/,
      },
      "7 a clear value over 8 KiB": { headers: (all) => [...all, ["X-Other", "x".repeat(9000)]] },
      "8 clear headers over 64 KiB": { headers: (all) => [...all, ...Array(12).fill(["X-Other", "x".repeat(8000)])] },
      "15 base64 that is none": { headers: (all) => all.with(2, ["Content-Transfer-Encoding", "base64"]) },
      "16 quoted-printable": { headers: (all) => all.with(2, ["Content-Transfer-Encoding", "quoted-printable"]) },
    },
    /^(headers|S\/MIME|MIME): /,
    "ENVELOPE_MALFORMED",
  );
  check(
    {
      "19 from an organisation that uses another": {
        opening: { partner: () => ({ org: "hospital-a", profiles: ["semrs-2"] }) },
      },
    },
    /is not configured for smime-4$/,
  );
});

describe("CMS", () => {
  const retyped = (type: string): Forgery => ({ enveloped: () => ({ type }) });
  check(
    {
      "23 trailing octets": { body: (body) => Buffer.concat([body, Uint8Array.of(0)]) },
      "24 two messages": { body: (body) => Buffer.concat([body, body]) },
      "25 a truncated message": { body: (body) => body.subarray(0, -1) },
      "25 nothing": { body: () => octets(0) },
      "26 nested deeper than 16": { body: () => Buffer.alloc(100, Uint8Array.of(0x30, 0x80)) },
      "27 a length of 2^40": { body: () => Buffer.from("3086010000000000", "hex") },
      "27 a length that is not minimal": {
        body: (body) => Buffer.concat([Buffer.from("308300", "hex"), body.subarray(2)]),
      },
      "30 no nonce": { enveloped: () => ({ nonce: octets(0) }) },
      "30 a nonce of 8 octets": { enveloped: () => ({ nonce: octets(8) }) },
      "31 no length of the tag": { enveloped: () => ({ icv: [] }) },
      "31 a tag that is said to have 4 octets": { enveloped: () => ({ icv: [integer(4)] }) },
      "31 a tag of 12 octets": { enveloped: ({ mac }) => ({ mac: octetString(mac.subarray(2, 14)) }) },
      "32 AES-256-CBC in AuthEnvelopedData": { enveloped: () => ({ cipherOid: "2.16.840.1.101.3.4.1.42" }) },
      "32 AES-128-GCM": { enveloped: () => ({ cipherOid: "2.16.840.1.101.3.4.1.6" }) },
      "32 EnvelopedData": retyped(oids.envelopedData),
      "32 EncryptedData": retyped("1.2.840.113549.1.7.6"),
      "32 SignedData outside": retyped(oids.signedData),
      "36 no RecipientInfo": { recipients: () => [] },
      "36 a thousand RecipientInfos": { recipients: ([info = octets(1)]) => Array.from({ length: 1000 }, () => info) },
      "36 two for our key": { recipients: ([info = octets(1)]) => [info, info] },
      "36 none for our key": { draft: { to: [{ org: c.org, certificate: c.unwrapper.certificate }] } },
      "37 a password RecipientInfo": { recipients: () => [Buffer.from("a30c020100300506032b65700400", "hex")] },
      "37 an OriginatorInfo": { enveloped: () => ({ version: Buffer.concat([integer(0), tlv(context(0))]) }) },
      "41 version 1": { enveloped: () => ({ version: integer(1) }) },
      "another content than id-data": { enveloped: () => ({ contentType: oids.signedData }) },
      "authenticated attributes": { enveloped: () => ({ attributes: [tlv(context(1))] }) },
      "unauthenticated attributes": { enveloped: () => ({ after: [tlv(context(2))] }) },
      "constructed pieces that are no OCTET STRINGs": {
        enveloped: ({ encrypted }) => ({ encrypted: tlv(context(0), retag(encrypted, 0x0c)) }),
      },
    },
    /^(CMS|DER): /,
  );

  const r = party("hospital-r", ca, "rsa", "rsa");
  const rsa = { unwrappers: [r.unwrapper], self: r.org };
  const forRsa = (change: (fields: readonly Uint8Array[]) => readonly Uint8Array[]): Refusal => ({
    recipients: async (_, cek) => {
      const info = read(await wrapFor(r.unwrapper.certificate, cek));
      return [sequence(...change(children(info).map(({ raw }) => raw)))];
    },
    opening: rsa,
  });
  const oaep = (hash: string, ...label: readonly Uint8Array[]) =>
    sequence(
      oid(oids.rsaesOaep),
      sequence(
        tlv(context(0), sequence(oid(hash))),
        tlv(context(1), sequence(oid(oids.mgf1), sequence(oid(hash)))),
        ...label,
      ),
    );
  check(
    {
      "38 OAEP with another hash": forRsa((fields) => fields.with(2, oaep(oids.sha512))),
      "38 OAEP with a label": forRsa((fields) =>
        fields.with(
          2,
          oaep(oids.sha256, tlv(context(2), sequence(oid("1.2.840.113549.1.1.9"), octetString(octets(1))))),
        ),
      ),
      "39 RSA PKCS #1 v1.5": forRsa((fields) => fields.with(2, sequence(oid(oids.rsaEncryption), nothing))),
      "41 a version that does not fit": forRsa((fields) => fields.with(0, integer(0))),
    },
    /^CMS: /,
  );
  test("39 a key wrapped with PKCS #1 v1.5 under the name of OAEP", async () => {
    const { publicEncrypt, constants } = await import("node:crypto");
    const key = readCertificate(r.unwrapper.certificate).publicKey;
    const refusal = forRsa(([version, rid, algorithm]) => [
      version ?? octets(0),
      rid ?? octets(0),
      algorithm ?? octets(0),
      octetString(publicEncrypt({ key, padding: constants.RSA_PKCS1_PADDING }, octets(32))),
    ]);
    const { opening, ...forgery } = refusal;
    await expect(openAll(await forge(forgery), opening)).rejects.toMatchObject({ code: "ENVELOPE_NOT_OPENED" });
  });
  test("33 a key of 24 octets", async () => {
    const recipients = async (_: unknown, cek: Uint8Array) => [await wrapFor(b.unwrapper.certificate, cek.subarray(8))];
    await expect(openAll(await forge({ recipients }))).rejects.toMatchObject({ code: "ENVELOPE_NOT_OPENED" });
  });
  test("a message over the limit", async () => {
    await expect(openAll(await forge({ sizes: [5000] }), { maxBytes: 4000 })).rejects.toMatchObject({
      code: "TOO_LARGE",
    });
  });
});

describe("inside the encryption", () => {
  check(
    {
      "no S/MIME entity": { inner: () => "hello" },
      "no headers that end": { inner: () => "X: y\r\n".repeat(5000) },
      "a message that is not signed": { inner: () => "Content-Type: text/plain\r\n\r\nhello" },
      "24 something after the signature": { inner: (inner) => `${inner}AAAA` },
      "an encrypted message again": {
        inner: (inner) => inner.replace("signed-data", "authEnveloped-data"),
      },
      "quoted-printable": { inner: (inner) => inner.replace("base64", "quoted-printable") },
      "base64 with lines over 76 characters": { inner: (inner) => `${inner.replaceAll(/([^\r]{64})\r\n/g, "$1")}` },
      "base64 cut short": { inner: (inner) => inner.trimEnd().slice(0, -5) },
      "AuthEnvelopedData instead of SignedData": {
        signed: (der) => replaceOid(der, oids.signedData, oids.envelopedData),
      },
    },
    /^(signature|S\/MIME|MIME|CMS): /,
  );
});

const replaceOid = (der: Buffer, one: string, other: string): Buffer => {
  const at = der.indexOf(oid(one));
  return Buffer.concat([der.subarray(0, at), oid(other), der.subarray(at + oid(one).length)]);
};

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

describe("signed headers", () => {
  check(
    {
      ...Object.fromEntries(signedHeaders.map((name) => [`4 no ${name}`, without(name)])),
      ...Object.fromEntries(signedHeaders.map((name) => [`3 two of ${name}`, twice(name)])),
      ...Object.fromEntries(signedHeaders.map((name) => [`an empty ${name}`, { ...valued(name, ""), cause: /./ }])),
      "5 a tenth": { head: (head) => `X-EEC-Other: 1\r\n${head}` },
      "6 a folded one": { head: (head) => head.replace("X-EEC-Sender: ", "X-EEC-Sender:\r\n ") },
      "6 a bare LF": { head: (head) => head.replace("\r\n", "\n") },
      "6 a NUL": valued("X-EEC-MessageType", "1\0"),
      "7 a value over 8 KiB": valued("X-EEC-MessageType", "x".repeat(9000)),
      "8 headers over 64 KiB": {
        head: (head) => `${"X-Other: 1\r\n".repeat(7000)}${head}`,
        cause: /^MIME: headers over/,
      },
      "2 two boundaries": { head: (head) => `${head}; boundary=other`.replace(/(; boundary="[^"]*")/, "$1$1") },
      "21 semrs-2 inside": { head: (head) => `X-SEMRS-Profile: semrs-2\r\n${head}` },
      "a multipart that is encoded": valued("Content-Transfer-Encoding", "base64"),
      "another kind of content": valued("Content-Type", "text/xml"),
      "another version of MIME type": valued("Content-Type", "multipart/signed; boundary=x"),
      "an id in upper case": valued("X-SEMRS-Id", "A".repeat(32)),
      "a purpose that there is not": valued("X-SEMRS-Purpose", "steal"),
      "a time that does not exist": valued("X-SEMRS-Created", "2026-02-30T00:00:00Z"),
      "60 more in To than receivers": valued("X-SEMRS-To", `${"0".repeat(64)},${"0".repeat(64)}`),
    },
    /^signed headers: /,
  );
  const ours = sha256(b.unwrapper.certificate);
  check(
    {
      "60 To names another certificate": valued("X-SEMRS-To", sha256(c.unwrapper.certificate)),
      "60 To names us under another's name": valued("X-EEC-Receiver", "hospital-c"),
      "60 To names more than it is sealed for": {
        head: (head) =>
          withValue("X-SEMRS-To", `${ours},${ours}`)(withValue("X-EEC-Receiver", "hospital-b,hospital-c")(head)),
      },
      "51 sealed for another too": {
        recipients: async (infos, cek) => [...infos, await wrapFor(c.unwrapper.certificate, cek)],
      },
      "80 another organisation of ours": { opening: { self: "hospital-c" } },
      "the sender is another": valued("X-EEC-Sender", "hospital-c"),
      "12 more parts than counted": { ...valued("X-EEC-BodypartCnt", "1"), cause: /^parts: 2/ },
      "12 fewer parts than counted": { ...valued("X-EEC-BodypartCnt", "3"), cause: /^parts: 2/ },
      "another cipher": valued("X-EEC-SymmetricAlg", "aes-256-cbc"),
      "another key transport": valued("X-EEC-AsymmetricAlg", "rsaes-oaep-sha256"),
      "another digest": valued("X-EEC-DistAlg", "sha-512"),
      "another signature": valued("X-EEC-SignAlg", "ed25519"),
      "another count of headers": valued("X-EEC-HeaderCnt", "8"),
      "79 expired": { opening: { now: later(2 * dayMs) }, code: "ENVELOPE_EXPIRED" },
      "79 from the future": {
        ...valued("X-SEMRS-Created", "2026-05-04T12:06:00Z"),
        signedAt: later(6 * 60_000),
        code: "ENVELOPE_EXPIRED",
      },
      "a life of eight days": valued("X-SEMRS-Expires", "2026-05-12T12:00:00Z"),
      "88 a purpose that is not taken here": { opening: { purposes: ["query"] }, code: "NOT_PERMITTED" },
      "102 an answer where a request is due": valued("X-SEMRS-In-Reply-To", "0".repeat(32)),
      "over the connection of another": { opening: { peer: "hospital-c" } },
      "78 a second time": { opening: { hasSeen: () => true }, code: "ENVELOPE_REPLAYED" },
    },
    /./,
  );
});

describe("parts", () => {
  const dicom = "Content-Type: application/dicom";
  const inserted = (line: string) => text((entity) => entity.replace(dicom, `${dicom}\r\n${line}`));
  const retyped = (type: string) => text((entity) => entity.replace(dicom, `Content-Type: ${type}`));
  check(
    {
      "9 a preamble": text((entity) => entity.replace("\r\n\r\n--", "\r\n\r\nhello\r\n--")),
      "9 an epilogue": text((entity) => `${entity}--again\r\n`),
      "10 no closing boundary": text((entity) => entity.slice(0, -8)),
      "11 a multipart": retyped("multipart/mixed; boundary=x"),
      "11 a message": retyped("message/rfc822"),
      "21 a part of semrs-2": retyped("application/pkcs7-mime; smime-type=authEnveloped-data"),
      "15 base64 that is none": text((entity) => {
        const at = entity.lastIndexOf("binary");
        return `${entity.slice(0, at)}base64${entity.slice(at + 6)}`;
      }),
      "16 quoted-printable": text((entity) => {
        const at = entity.lastIndexOf("binary");
        return `${entity.slice(0, at)}quoted-printable${entity.slice(at + 6)}`;
      }),
      "a header that does not belong": inserted("X-Other: 1"),
      "a header twice": inserted("Content-Transfer-Encoding: binary"),
      "no media type": retyped("dicom"),
      "no SOP Instance UID": text((entity) => entity.replace(/\r\nX-SEMRS-Sop: [^\r]*/, "")),
      "a SOP Instance UID that is none": text((entity) => entity.replace("X-SEMRS-Sop: 1.2.3.1", "X-SEMRS-Sop: a")),
      "a SOP Instance UID on a document": text((entity) =>
        entity.replace("Content-Type: text/xml", "Content-Type: text/xml\r\nX-SEMRS-Sop: 1"),
      ),
      "headers without an end": text((entity) => entity.replace(dicom, `${dicom}${"x".repeat(2000)}`)),
      "an empty part": text((entity) => entity.replace(/(X-SEMRS-Sop: 1.2.3.1\r\n\r\n)[\s\S]*(\r\n--)/, "$1$2")),
    },
    /^(parts|MIME|a part may)/,
  );
});

describe("inside the encryption", () => {
  const typed = /Content-Type: [^\r]*\r\n/;
  check(
    {
      "3 two Content-Types": { inner: (inner) => inner.replace(typed, (line) => line + line) },
      "7 a Content-Type over 8 KiB": {
        inner: (inner) => inner.replace("signed-data", `signed-data; x=${"y".repeat(8192)}`),
      },
      "6 a Content-Type that is not US-ASCII": {
        inner: (inner) => inner.replace("signed-data", "signed-data; x=\u00e9"),
      },
    },
    /^S\/MIME: Content-Type/,
  );
});

test("50 a message that comes as CBC EnvelopedData under the same key", async () => {
  // RFC 9709: GCM without its tag is counter mode; what was one can be presented as the other to a careless reader.
  const forged = await forge({
    enveloped: () => ({ type: oids.envelopedData, cipherOid: "2.16.840.1.101.3.4.1.42", icv: [] }),
  });
  for (const smimeType of ["authEnveloped-data", "enveloped-data"]) {
    const typed = headers.with(1, ["Content-Type", `application/pkcs7-mime; smime-type=${smimeType}`]);
    let isAsked = false;
    const unwrap = async () => {
      isAsked = true;
      return octets(32);
    };
    const opening = smime4Opening(b, { unwrappers: [{ ...b.unwrapper, unwrap }] });
    const code = smimeType === "enveloped-data" ? "ENVELOPE_UNSUPPORTED" : "ENVELOPE_NOT_OPENED";
    await expect(openSmime4(typed, inPieces(forged.body), opening)).rejects.toMatchObject({ code });
    expect(isAsked).toBe(false);
  }
});

test("21 an envelope of semrs-2 is not taken for one", async () => {
  const envelope = await seal(draftOf(await record(10)), a.signer, now);
  const refusal = openSmime4(envelope.headers, inPieces(await bodyOf(envelope)), smime4Opening());
  await expect(refusal).rejects.toMatchObject({ code: "ENVELOPE_UNSUPPORTED" });
});
