/** Signatures and certificate requests that are taken apart and put together again with one thing wrong. */
import { constants, generateKeyPairSync, sign } from "node:crypto";
import { describe, expect, test } from "vitest";
import { oids } from "../../envelope/algorithms.ts";
import { bitString, children, context, integer, oid, read, sequence, setOf, tag, tlv } from "../../envelope/cms/der.ts";
import { readRequest, writeRequest } from "../../envelope/request.ts";
import { manifestContentType, signAttached, signDetached, verifySignedData } from "../../envelope/signed-data.ts";
import { a, b, ca, now, party } from "./parties.ts";
import { octets } from "./samples.ts";

const notOpened = (message: RegExp) =>
  expect.objectContaining({ code: "ENVELOPE_NOT_OPENED", message: expect.stringMatching(message) });

describe("SignedData", () => {
  const content = Buffer.from("{}");
  /** Its fields: version, digests, content, certificates, signers. */
  const changed = (der: Uint8Array, change: (fields: readonly Uint8Array[]) => readonly Uint8Array[]): Uint8Array => {
    const [type, wrapper] = children(read(der));
    const [signed] = wrapper ? children(wrapper) : [];
    const fields = signed ? children(signed).map(({ raw }) => raw) : [];
    return sequence(type?.raw ?? octets(0), tlv(context(0), sequence(...change(fields))));
  };

  test("41 version 1", async () => {
    const signed = changed(await signDetached(content, manifestContentType, a.signer, now), (fields) =>
      fields.with(0, integer(1)),
    );
    expect(() => verifySignedData(signed, manifestContentType, content)).toThrow(notOpened(/version than 3/));
  });

  test("56 no signer, and two", async () => {
    const signed = await signDetached(content, manifestContentType, a.signer, now);
    const signers = (count: number) =>
      changed(signed, (fields) => {
        const [info] = children(read(fields[4] ?? octets(0)));
        return fields.with(4, setOf(...Array(count).fill(info?.raw)));
      });
    expect(verifySignedData(signers(1), manifestContentType, content).content).toBe(content);
    for (const count of [0, 2])
      expect(() => verifySignedData(signers(count), manifestContentType, content)).toThrow(
        notOpened(new RegExp(`${count} signers instead of one`)),
      );
  });

  /** Its only SignerInfo: version, sid, digest, attributes, algorithm, signature. */
  const signer = (der: Uint8Array, change: (fields: readonly Uint8Array[]) => readonly Uint8Array[]): Uint8Array =>
    changed(der, (fields) => {
      const [info] = children(read(fields[4] ?? octets(0)));
      return fields.with(4, setOf(sequence(...change(info ? children(info).map(({ raw }) => raw) : []))));
    });
  const attributesOf = (fields: readonly Uint8Array[]) => children(read(fields[3] ?? octets(0))).map(({ raw }) => raw);

  test("41 a SignerInfo of version 1", async () => {
    const signed = await signDetached(content, manifestContentType, a.signer, now);
    const other = signer(signed, (fields) => fields.with(0, integer(1)));
    expect(() => verifySignedData(other, manifestContentType, content)).toThrow(notOpened(/SignerInfo of another/));
  });

  test("what is no SignedData, has no certificate of its signer, another algorithm, or no signing-time", async () => {
    const signed = Buffer.from(await signDetached(content, manifestContentType, a.signer, now));
    const typed = Buffer.from(signed);
    typed.set(oid(oids.envelopedData), typed.indexOf(oid(oids.signedData)));
    const refused: readonly (readonly [Uint8Array, RegExp])[] = [
      [typed, /not SignedData/],
      [
        changed(signed, (fields) => fields.with(3, tlv(context(0), b.signer.certificate))),
        /certificate is not included/,
      ],
      [signer(signed, (fields) => fields.with(4, sequence(oid(oids.ed25519)))), /algorithms other than/],
      [
        signer(signed, (fields) => {
          const left = attributesOf(fields).filter((each) => Buffer.from(each).indexOf(oid(oids.signingTime)) < 0);
          return fields.with(3, tlv(context(0), ...left));
        }),
        /signing-time missing/,
      ],
    ];
    for (const [der, cause] of refused)
      expect(() => verifySignedData(der, manifestContentType, content)).toThrow(notOpened(cause));
  });

  test("29 signed attributes in another order than DER has", async () => {
    const signed = await signDetached(content, manifestContentType, a.signer, now);
    const other = signer(signed, (fields) => fields.with(3, tlv(context(0), ...attributesOf(fields).reverse())));
    expect(() => verifySignedData(other, manifestContentType, content)).toThrow(notOpened(/not in DER order/));
  });

  test.each([0, 20, 64])("59 RSA-PSS with a salt of %i octets, said or not said", async (salt) => {
    const { signer, pem } = party("hospital-a", ca, "rsa");
    const padding = constants.RSA_PKCS1_PSS_PADDING;
    const salted = {
      ...signer,
      sign: async (octets: Uint8Array) => sign("sha256", octets, { key: pem.signKey, padding, saltLength: salt }),
    };
    const honest = await signDetached(content, manifestContentType, signer, now);
    expect(verifySignedData(honest, manifestContentType, content).content).toBe(content);
    const silent = Buffer.from(await signDetached(content, manifestContentType, salted, now));
    expect(() => verifySignedData(silent, manifestContentType, content)).toThrow(notOpened(/does not verify/));
    const said = Buffer.from(silent);
    const length = tlv(context(2), integer(32));
    said.set(tlv(context(2), integer(salt)), said.lastIndexOf(length));
    expect(() => verifySignedData(said, manifestContentType, content)).toThrow(notOpened(/algorithms other than/));
  });

  test("74 17 certificates", async () => {
    const signed = await signDetached(content, manifestContentType, a.signer, now);
    const many = tlv(context(0), ...Array(17).fill(a.signer.certificate));
    expect(() =>
      verifySignedData(
        changed(signed, (fields) => fields.with(3, many)),
        manifestContentType,
        content,
      ),
    ).toThrow(notOpened(/more than 16 certificates/));
  });

  test("54 a signed attribute twice", async () => {
    const signed = await signDetached(content, manifestContentType, a.signer, now);
    const twice = signer(signed, (fields) => {
      const attributes = attributesOf(fields);
      const doubled = [...attributes, ...attributes.slice(0, 1)].sort(Buffer.compare);
      return fields.with(3, tlv(context(0), ...doubled));
    });
    expect(() => verifySignedData(twice, manifestContentType, content)).toThrow(notOpened(/a signed attribute twice/));
  });

  test("23 octets beside the content that is attached", async () => {
    const signed = await signAttached(content, manifestContentType, a.signer, now);
    const more = changed(signed, (fields) => {
      const [type, attached] = children(read(fields[2] ?? octets(0)));
      return fields.with(
        2,
        sequence(type?.raw ?? octets(0), tlv(context(0), attached?.content ?? octets(0), integer(1))),
      );
    });
    expect(() => verifySignedData(more, manifestContentType)).toThrow(notOpened(/more than the content/));
  });
});

describe("a certificate request", () => {
  const subject = { commonName: "b tls", organization: "hospital-b" };
  const names = ["b.hospital.example", "10.1.2.3"];
  const ec = generateKeyPairSync("ec", { namedCurve: "prime256v1" }).privateKey;

  test.each(["ec", "rsa"] as const)("of a key of %s is read as it was written", (kind) => {
    const key = kind === "ec" ? ec : generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
    expect(readRequest(writeRequest({ subject, names, key }))).toMatchObject({ subject, names });
    expect(readRequest(writeRequest({ subject, names: [], key }))).toMatchObject({ subject, names: [] });
  });

  test("attributes and extensions that are not known are passed over", () => {
    const fields = children(read(writeRequest({ subject, names, key: ec })));
    const [version, name, spki, attributes] = fields[0] ? children(fields[0]).map(({ raw }) => raw) : [];
    const extensions = sequence(sequence(oid(oids.keyUsage), tlv(tag.octetString, bitString(Uint8Array.of(0x80)))));
    const more = [
      sequence(oid("1.2.840.113549.1.9.7"), setOf(tlv(tag.utf8String, Buffer.from("secret")))),
      sequence(oid("1.2.840.113549.1.9.14"), setOf(extensions)),
    ];
    const known = attributes ? children(read(attributes)).map(({ raw }) => raw) : [];
    const info = sequence(
      version ?? octets(0),
      name ?? octets(0),
      spki ?? octets(0),
      tlv(context(0), ...known, ...more),
    );
    const request = sequence(info, sequence(oid(oids.ecdsaWithSha256)), bitString(sign("sha256", info, ec)));
    expect(readRequest(request).names).toEqual(names);
  });

  const refused = (message: RegExp) =>
    expect.objectContaining({ code: "CERTIFICATE_INVALID", message: expect.stringMatching(message) });
  const rewritten = (change: (fields: readonly Uint8Array[]) => readonly Uint8Array[]): Uint8Array =>
    sequence(...change(children(read(writeRequest({ subject, names, key: ec }))).map(({ raw }) => raw)));
  const info = (fields: readonly Uint8Array[]) => children(read(fields[0] ?? octets(0))).map(({ raw }) => raw);

  test.each<[string, () => Uint8Array, RegExp]>([
    ["over 16 KiB", () => new Uint8Array(16 * 1024 + 1), /over 16384/],
    ["that is none", () => octets(40), /cannot be read/],
    [
      "of version 1",
      () => rewritten((all) => all.with(0, sequence(...info(all).with(0, integer(1))))),
      /version than 0/,
    ],
    ["under another algorithm", () => rewritten((all) => all.with(1, sequence(oid(oids.sha256WithRsa)))), /algorithm/],
    ["of another key", () => rewritten((all) => all.with(2, bitString(octets(70)))), /not by the key/],
    [
      "with more than 32 names",
      () => writeRequest({ subject, names: Array(33).fill("a.example"), key: ec }),
      /32 names/,
    ],
    ["of nobody", () => writeRequest({ subject: { ...subject, organization: "" }, names, key: ec }), /no common name/],
  ])("%s is refused", (_, make, cause) => {
    expect(() => readRequest(make())).toThrow(refused(cause));
  });
});
