/** SignedData, recipients and certificate paths: what verifies, and that nothing else does. */
import { generateKeyPairSync } from "node:crypto";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { pemToDer, readCertificate } from "../../envelope/certificate.ts";
import { issueCertificate, issueCrl } from "../../envelope/issue.ts";
import { type Trust, validatePath } from "../../envelope/path.ts";
import { unwrapWith, wrapFor } from "../../envelope/recipient.ts";
import { manifestContentType, receiptContentType, signDetached, verifySignedData } from "../../envelope/signed-data.ts";
import { member, people, type Sides } from "./people.ts";

const content = Buffer.from('{"profile":"semrs-2"}');

describe.each([{ rsa: false }, { rsa: true }])("with RSA keys: $rsa", ({ rsa }) => {
  let sides: Sides;
  let signed: Uint8Array;
  beforeAll(async () => {
    sides = await people({ rsa });
    signed = await signDetached(content, manifestContentType, member(sides.signers, "a"), new Date());
  });

  test("a detached signature verifies over its content alone", () => {
    expect(verifySignedData(signed, manifestContentType, content).content).toBe(content);
    expect(() => verifySignedData(signed, manifestContentType, Buffer.from("other"))).toThrow(/message-digest/);
    expect(() => verifySignedData(signed, receiptContentType, content)).toThrow(/content type/);
    expect(() => verifySignedData(signed, manifestContentType)).toThrow(/no content/);
  });

  test("any flipped bit is refused", () => {
    fc.assert(
      fc.property(fc.nat(signed.length * 8 - 1), (bit) => {
        const copy = Buffer.from(signed);
        copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        expect(() => verifySignedData(copy, manifestContentType, content)).toThrow();
      }),
      { numRuns: 300 },
    );
  });

  test("octets after the end, and two signatures in one file, are refused", () => {
    expect(() => verifySignedData(Buffer.concat([signed, Uint8Array.of(0)]), manifestContentType, content)).toThrow(
      /trailing/,
    );
    expect(() => verifySignedData(Buffer.concat([signed, signed]), manifestContentType, content)).toThrow(/trailing/);
  });

  test("a wrapped key opens for its owner alone, and no bit of it may change", async () => {
    const key = Buffer.alloc(32, 7);
    const b = member(sides.unwrappers, "b");
    const info = await wrapFor(b.certificate, key);
    expect(Buffer.from(await b.unwrap(info)).equals(key)).toBe(true);
    await expect(member(sides.unwrappers, "c").unwrap(info)).rejects.toMatchObject({ code: "ENVELOPE_NOT_OPENED" });
    const flip = (at: number) => Buffer.from(info.map((octet, index) => (index === at ? octet ^ 1 : octet)));
    for (let at = 0; at < info.length; at += 3)
      await expect(b.unwrap(flip(at))).rejects.toMatchObject({ code: /ENVELOPE_(MALFORMED|NOT_OPENED)/ });
  });

  test("a wrapped key of another length than 32 octets is refused", async () => {
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
    const at = new Date();
    const certificate = issueCertificate(
      {
        subject: { commonName: "x", organization: "x" },
        publicKey,
        profile: "decrypt",
        serial: Uint8Array.of(1),
        notBefore: at,
        notAfter: new Date(at.getTime() + 1e6),
      },
      { own: privateKey },
    );
    const info = await wrapFor(certificate, Buffer.alloc(16, 7));
    expect(() => unwrapWith(privateKey, readCertificate(certificate).ski, info)).toThrow(/unwrap|length/);
  });
});

describe("certificate paths (RFC 5280 6.1)", () => {
  const day = 24 * 3_600_000;
  const now = new Date();
  const names = (commonName: string) => ({ commonName, organization: commonName });
  const pair = () => generateKeyPairSync("ec", { namedCurve: "prime256v1" });
  const ca = pair();
  const middle = pair();
  const leaf = pair();
  const dates = { notBefore: new Date(now.getTime() - day), notAfter: new Date(now.getTime() + day) };
  const caCertificate = issueCertificate(
    { subject: names("ca"), publicKey: ca.publicKey, profile: "ca", serial: Uint8Array.of(1), ...dates },
    { own: ca.privateKey },
  );
  const root = { certificate: caCertificate, privateKey: ca.privateKey };
  const middleCertificate = issueCertificate(
    { subject: names("middle"), publicKey: middle.publicKey, profile: "ca", serial: Uint8Array.of(2), ...dates },
    root,
  );
  const issuer = { certificate: middleCertificate, privateKey: middle.privateKey };
  const make = (change: object = {}, by = issuer) =>
    issueCertificate(
      {
        subject: names("leaf"),
        publicKey: leaf.publicKey,
        profile: "sign",
        serial: Uint8Array.of(3),
        ...dates,
        ...change,
      },
      by,
    );
  const crl = (by: typeof issuer, revoked: { serial: Uint8Array; at: Date }[] = [], change: object = {}) =>
    issueCrl(
      {
        number: 1,
        thisUpdate: new Date(now.getTime() - day),
        nextUpdate: new Date(now.getTime() + day),
        revoked,
        ...change,
      },
      by,
    );
  const trust = (change: Partial<Trust> = {}): Trust => ({
    anchors: [caCertificate],
    crls: [crl(root), crl(issuer)],
    revocation: "require",
    ...change,
  });
  const check =
    (certificate: Uint8Array, with_: Trust = trust(), at = now) =>
    () =>
      validatePath(certificate, [middleCertificate], with_, at);

  test("a path through an intermediate holds", () => expect(check(make())).not.toThrow());

  test.for([
    ["66 expired", () => check(make({ notAfter: new Date(now.getTime() - 1000) })), /expired/],
    ["66 not yet valid", () => check(make({ notBefore: new Date(now.getTime() + 1000) })), /not valid before/],
    [
      "67 revoked",
      () =>
        check(
          make(),
          trust({ crls: [crl(root), crl(issuer, [{ serial: Uint8Array.of(3), at: new Date(now.getTime() - 1000) }])] }),
        ),
      /revoked/,
    ],
    [
      "67 a revoked CA",
      () =>
        check(
          make(),
          trust({ crls: [crl(root, [{ serial: Uint8Array.of(2), at: new Date(now.getTime() - 1000) }]), crl(issuer)] }),
        ),
      /revoked/,
    ],
    [
      "68 a stale list",
      () =>
        check(make(), trust({ crls: [crl(root), crl(issuer, [], { nextUpdate: new Date(now.getTime() - 1000) })] })),
      /stale/,
    ],
    ["68 no list", () => check(make(), trust({ crls: [crl(root)] })), /no revocation list/],
    [
      "68 a list that another signed",
      () => check(make(), trust({ crls: [crl(root), crl({ ...issuer, privateKey: ca.privateKey })] })),
      /no revocation list/,
    ],
    [
      "70 issued by what is no CA",
      () => check(make({}, { certificate: make(), privateKey: leaf.privateKey })),
      /no path|no CA/,
    ],
    [
      "73 self-signed",
      () =>
        check(
          issueCertificate(
            { subject: names("leaf"), publicKey: leaf.publicKey, profile: "sign", serial: Uint8Array.of(3), ...dates },
            { own: leaf.privateKey },
          ),
        ),
      /no path/,
    ],
    [
      "another CA of the same name",
      () => check(make({}, { certificate: middleCertificate, privateKey: leaf.privateKey })),
      /does not verify/,
    ],
  ] as const)("%s", ([, make_, message]) => expect(make_()).toThrow(message));

  test("PEM may hold several certificates", () => {
    expect(pemToDer("")).toEqual([]);
  });
});
