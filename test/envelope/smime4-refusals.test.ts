import { describe, expect, test } from "vitest";
import { oids } from "../../envelope/algorithms.ts";
import { readCertificate } from "../../envelope/certificate.ts";
import { children, context, integer, nothing, octetString, oid, read, sequence, tlv } from "../../envelope/cms/der.ts";
import { openSmime4, seal, sealSmime4 } from "../../envelope/index.ts";
import { wrapFor } from "../../envelope/recipient.ts";
import { retag } from "../../envelope/signed-data.ts";
import { a, b, c, ca, now, party } from "./parties.ts";
import { bodyOf, draftOf, flipped, inPieces, octets, record } from "./samples.ts";
import {
  envelopedFor,
  type Forgery,
  forge,
  headers,
  innerOf,
  openAll,
  signedOver,
  smime4Opening,
} from "./smime4-forge.ts";
import { check, honest, type Refusal, replaceOid, typed } from "./smime4-refusing.ts";

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
