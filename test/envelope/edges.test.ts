/** The limits that no forged envelope reaches: each by the least that goes beyond it. */
import { generateKeyPairSync } from "node:crypto";
import { describe, expect, test } from "vitest";
import { oids } from "../../envelope/algorithms.ts";
import { readCertificate } from "../../envelope/certificate.ts";
import { bitString, children, context, integer, oid, read, sequence, setOf, tag, tlv } from "../../envelope/cms/der.ts";
import { readCrl } from "../../envelope/crl.ts";
import { ownerOf } from "../../envelope/identity.ts";
import { verifyReceipt } from "../../envelope/index.ts";
import { issueCertificate, issueCrl } from "../../envelope/issue.ts";
import { algorithmOf, pair, privateKeyFrom } from "../../envelope/keys.ts";
import { entriesOf, maxParts, partNumber, readManifest, writeManifest } from "../../envelope/manifest.ts";
import { rootOf } from "../../envelope/part.ts";
import { validatePath } from "../../envelope/path.ts";
import { isSignedBy } from "../../envelope/primitives.ts";
import { recipientSki, unwrapWith, wrapFor } from "../../envelope/recipient.ts";
import { authorityExtras, certify, type Extra, type Holder, holder, list, signerExtras } from "./certificates.ts";
import { forge } from "./forge.ts";
import { b, now, ownerAmong, parties, trust } from "./parties.ts";

const at = new Date("2026-05-04T12:00:00Z");
const root = holder("root");
const leaf = holder("leaf");
const anchor = certify(root, root, authorityExtras());
const trusted = { anchors: [anchor], crls: [list(root)], revocation: "require" } as const;
const malformed = (message: RegExp) =>
  expect.objectContaining({ code: "ENVELOPE_MALFORMED", message: expect.stringMatching(message) });
const invalid = (message: RegExp) =>
  expect.objectContaining({ code: "CERTIFICATE_INVALID", message: expect.stringMatching(message) });

describe("certificates and lists", () => {
  /** What does not read is refused as one; the cause tells which limit it was. */
  const unread = (cause: RegExp) => expect.objectContaining({ code: "CERTIFICATE_INVALID", cause: invalid(cause) });
  const policy = sequence(oid("1.2.3"));
  const mapping = sequence(oid("1.2.3"), oid("1.2.4"));
  const bounded = sequence(tlv(context(2, false), Buffer.from("x.example")), tlv(context(0, false), Uint8Array.of(1)));

  test.each<[string, Extra, RegExp]>([
    ["no policy", [oids.certificatePolicies, sequence()], /no policy/],
    ["a policy twice", [oids.certificatePolicies, sequence(policy, policy)], /a policy twice/],
    [
      "257 mappings",
      [oids.policyMappings, sequence(...Array.from({ length: 257 }, () => mapping))],
      /256 policy mappings/,
    ],
    ["a constraint with a minimum", [oids.nameConstraints, sequence(tlv(context(0), bounded)), true], /with bounds/],
    [
      "1,025 names",
      [oids.subjectAltName, sequence(...Array.from({ length: 1025 }, () => tlv(context(2, false), Buffer.from("x"))))],
      /1024 names/,
    ],
  ])("%s", (_, extra, cause) => {
    expect(() => readCertificate(certify(leaf, root, [extra]))).toThrow(unread(cause));
  });

  test("a certificate without extensions reads, and is no authority; one whose name is none does not read", () => {
    const fields = (der: Uint8Array) => children(read(der)).map(({ raw }) => raw);
    const [tbs = new Uint8Array(), ...rest] = fields(anchor);
    const plain = readCertificate(sequence(sequence(...fields(tbs).slice(0, -1)), ...rest));
    expect(plain).toMatchObject({ isCa: false, extensions: [], keyUsage: null });
    const nameless = sequence(sequence(...fields(tbs).with(5, sequence(setOf(sequence())))), ...rest);
    expect(() => readCertificate(nameless)).toThrow(unread(/an attribute that is none/));
  });

  test("58 a certificate that names one algorithm outside and another inside, one of v1 with extensions, an extension twice", () => {
    const [tbs = new Uint8Array(), , signature = new Uint8Array()] = children(read(anchor)).map(({ raw }) => raw);
    const other = sequence(oid("1.2.840.10045.4.3.3"));
    expect(() => readCertificate(sequence(tbs, other, signature))).toThrow(unread(/signature algorithms differ/));
    const fields = children(read(tbs)).map(({ raw }) => raw);
    const ecdsa = sequence(oid(oids.ecdsaWithSha256));
    expect(() => readCertificate(sequence(sequence(...fields.slice(1)), ecdsa, signature))).toThrow(unread(/not v3/));
    const twice = certify(leaf, root, [...signerExtras, ...signerExtras]);
    expect(() => readCertificate(twice)).toThrow(unread(/an extension twice/));
  });

  test("58 a list that names one algorithm outside and another inside", () => {
    const [tbs, , signature] = children(read(list(root))).map(({ raw }) => raw);
    const other = sequence(oid("1.2.840.10045.4.3.3"));
    const crl = sequence(tbs ?? new Uint8Array(), other, signature ?? new Uint8Array());
    expect(() => readCrl(crl)).toThrow(unread(/signature algorithms of a list differ/));
  });

  test("an authority with an RSA key issues as well", () => {
    const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const subject = { commonName: "rsa", organization: "rsa" };
    const days = { notBefore: new Date("2026-01-01"), notAfter: new Date("2027-01-01") };
    const ca = issueCertificate(
      { subject, publicKey, profile: "ca", serial: Uint8Array.of(1), ...days },
      { own: privateKey },
    );
    const issuer = { certificate: ca, privateKey };
    const issued = issueCertificate(
      {
        subject: { commonName: "x", organization: "x" },
        publicKey: leaf.publicKey,
        profile: "sign",
        serial: Uint8Array.of(2),
        ...days,
      },
      issuer,
    );
    const crl = issueCrl({ number: 1, thisUpdate: days.notBefore, nextUpdate: days.notAfter, revoked: [] }, issuer);
    validatePath(issued, [], { anchors: [ca], crls: [crl], revocation: "require" }, at);
  });

  test("57 a signature by an RSA key of 1024 bits is none", () => {
    const { publicKey } = holder("small", { bits: 1024 });
    expect(isSignedBy("rsa-pss-sha256", Buffer.from("x"), Buffer.alloc(128), publicKey)).toBe(false);
  });

  test("a signing certificate is ours, a partner's, or nobody's", () => {
    const known = (org: string, signing: string) =>
      ({ org, signing: [signing], decrypt: new Uint8Array(), tls: "", profiles: ["semrs-2"] }) as const;
    const [self, partner] = [known("hospital-b", "1"), known("hospital-a", "2")];
    const { signer, unwrapper } = b;
    const identity = {
      org: self.org,
      signer,
      unwrappers: [unwrapper],
      trust,
      self,
      partners: new Map([["a", partner]]),
    };
    expect(["1", "2", "3"].map((sha256) => ownerOf(identity, sha256)?.org)).toEqual([self.org, partner.org, undefined]);
  });

  test("a serial number of more than 20 octets", () => {
    const issued = certify(leaf, root, signerExtras, { serial: Buffer.alloc(21, 1) });
    expect(() => validatePath(issued, [], trusted, at)).toThrow(invalid(/more than 20 octets/));
  });

  test("58 ECDSA with SHA-1", () => {
    const identifier = sequence(oid("1.2.840.10045.4.1"));
    const issued = certify(leaf, root, signerExtras, { identifier });
    expect(() => validatePath(issued, [], trusted, at)).toThrow(invalid(/algorithm that is not accepted/));
  });

  test("an entry of another issuer in a list that speaks for its own alone", () => {
    const { issuer } = readCertificate(certify(leaf, root, []));
    const names = sequence(tlv(context(4), issuer));
    const crl = list(root, [integer(1)], [], [[oids.certificateIssuer, names, true]]);
    expect(() => readCrl(crl)).toThrow(unread(/not indirect/));
  });

  test("a list by somebody else, for certificates whose point names only who makes it", () => {
    const lists = holder("lists");
    const names = (name: Uint8Array, number: number) => tlv(context(number), tlv(context(4), name));
    const maker = certify(lists, root, [[oids.keyUsage, bitString(Uint8Array.of(0b0000_0010)), true]]);
    const name = readCertificate(maker).subject;
    const issued = certify(leaf, root, [
      ...signerExtras,
      [oids.crlDistributionPoints, sequence(sequence(names(name, 2)))],
    ]);
    const listed = (scope: Uint8Array, revoked: readonly Uint8Array[] = []): Uint8Array => {
      const point = sequence(tlv(context(0), names(scope, 0)), tlv(context(4, false), Uint8Array.of(0xff)));
      const { issuer } = readCertificate(issued);
      const ofEntry: readonly Extra[] = [[oids.certificateIssuer, sequence(tlv(context(4), issuer)), true]];
      return list(lists, revoked, [[oids.issuingDistributionPoint, point, true]], ofEntry);
    };
    const by = (crl: Uint8Array): void => validatePath(issued, [maker], { ...trusted, crls: [list(root), crl] }, at);
    by(listed(name));
    const serial = integer(Buffer.from(readCertificate(issued).serial, "hex"));
    expect(() => by(listed(name, [serial]))).toThrow(invalid(/revoked/));
    // A list for another point tells nothing; the issuer's own one is there as well.
    by(listed(readCertificate(issued).subject, [serial]));
  });

  test("a key that nothing here signs or is sealed with, and none at all", async () => {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "secp384r1" });
    expect(() => algorithmOf(privateKey)).toThrow(invalid(/signs nothing here/));
    expect(() => pair("", undefined)).toThrow(expect.objectContaining({ code: "CONFIG_INVALID" }));
    expect(() => privateKeyFrom("-----BEGIN PRIVATE KEY-----")).toThrow(
      expect.objectContaining({ code: "CONFIG_INVALID", message: expect.stringContaining("without a passphrase") }),
    );
    const small = certify(holder("small", { bits: 1024 }), root, signerExtras);
    await expect(wrapFor(small, Buffer.alloc(32))).rejects.toEqual(invalid(/nothing is sealed for/));
  });

  test("a key of another kind is not its certificate's, and the next pair is read as if it had not been", () => {
    const [rsa, house] = [holder("house", { bits: 2048 }), holder("house")];
    const certificate = certify(house, root, signerExtras);
    const pem = ({ key }: Holder): string => key.export({ type: "pkcs8", format: "pem" }).toString();
    expect(() => pair(pem(rsa), certificate)).toThrow(/is not the one of certificate/);
    expect(pair(pem(house), certificate).key.asymmetricKeyType).toBe("ec");
  });
});

describe("manifests, receipts and keys", () => {
  const refused = (message: RegExp) =>
    expect.objectContaining({ code: "ENVELOPE_NOT_OPENED", message: expect.stringMatching(message) });
  const honest = async () => {
    let manifest: ReturnType<typeof readManifest> | undefined;
    await forge({ manifest: (each) => (manifest = each) });
    if (!manifest) throw new Error("forge tells its manifest");
    return manifest;
  };

  test("62 a manifest of more than 8 MiB without an origin, and of more than 16 MiB", async () => {
    expect(() => readManifest(Buffer.alloc(16 * 1024 * 1024 + 1, 0x20))).toThrow(refused(/over 16777216/));
    const { parts, ...rest } = await honest();
    const segs = Buffer.alloc(32);
    const more = Array.from({ length: maxParts - 1 }, (_, index) => ({
      n: partNumber(index + 1),
      role: "attachment" as const,
      type: "x".repeat(256),
      size: 1,
      seg: 1048576 as const,
      segs: segs.toString("base64"),
      root: rootOf(1, segs),
    }));
    const octets = writeManifest({ ...rest, parts: [...parts.slice(0, 1), ...more] });
    expect(octets.length).toBeLessThan(16 * 1024 * 1024);
    expect(() => readManifest(octets)).toThrow(refused(/over 8388608/));
    const fewer = more.slice(0, 10_000);
    expect(readManifest(writeManifest({ ...rest, parts: [...parts.slice(0, 1), ...fewer] })).parts).toHaveLength(
      10_001,
    );
  });

  test("91 a part of the origin that the origin does not have", async () => {
    const manifest = Buffer.from(writeManifest(await honest())).toString("base64");
    const origin = { manifest, signature: "", marks: [] };
    expect(() => entriesOf({ parts: [{ n: 1, of: 9 }], origin })).toThrow(refused(/that is not there/));
  });

  test("a receipt of more than 256 KiB", () => {
    const checks = { trust, now, partner: ownerAmong(parties) };
    expect(() => verifyReceipt(Buffer.alloc(256 * 1024 + 1), checks)).toThrow(refused(/262144/));
  });

  test("41 a KeyAgreeRecipientInfo of version 4", async () => {
    const info = Buffer.from(await wrapFor(b.unwrapper.certificate, Buffer.alloc(32)));
    const at = info.indexOf(integer(3));
    info.set(integer(4), at);
    await expect(b.unwrapper.unwrap(info)).rejects.toEqual(malformed(/another version than 3/));
  });

  test("40 34 an originator key in another form, another algorithm", async () => {
    const info = Buffer.from(await wrapFor(b.unwrapper.certificate, Buffer.alloc(32)));
    const compressed = Buffer.from(info);
    compressed[compressed.indexOf(Uint8Array.of(tag.bitString, 66, 0, 4)) + 3] = 2;
    await expect(b.unwrapper.unwrap(compressed)).rejects.toEqual(malformed(/not an uncompressed P-256 point/));
    const last = info.lastIndexOf(oid("2.16.840.1.101.3.4.1.45"));
    info.set(oid("2.16.840.1.101.3.4.1.25"), last);
    await expect(b.unwrapper.unwrap(info)).rejects.toEqual(malformed(/aes256-wrap expected/));
  });

  test.each(["EC", "RSA"])("40 whatever follows within any part of a RecipientInfo for an %s key", async (kind) => {
    const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const rsa = certify({ name: "r", key: privateKey, publicKey }, root, signerExtras);
    const info = await wrapFor(kind === "RSA" ? rsa : b.unwrapper.certificate, Buffer.alloc(32));
    const longer = withMore(info);
    expect(longer.length).toBeGreaterThan(2);
    for (const each of longer) expect(() => recipientSki(each)).toThrow(malformed(/./));
  });

  test("49 41 a key of 31 octets under OAEP, a KeyTransRecipientInfo of version 0", async () => {
    const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const certificate = certify({ name: "r", key: privateKey, publicKey }, root, signerExtras);
    const info = await wrapFor(certificate, Buffer.alloc(31));
    const older = Buffer.from(info);
    older.set(integer(0), older.indexOf(integer(2)));
    const { ski } = readCertificate(certificate);
    expect(() => unwrapWith(privateKey, ski, older)).toThrow(malformed(/another version than 2/));
    expect(() => unwrapWith(privateKey, ski, info)).toThrow(refused(/31 octets instead of 32/));
  });
});

/** The same with a NULL at the end of one constructed value, each of them in turn. */
function withMore(der: Uint8Array): readonly Uint8Array[] {
  const element = read(der);
  // Bit 6 of the tag: constructed (X.690 8.1.2.5).
  if ((element.tag & 0x20) === 0) return [];
  const parts = children(element).map(({ raw }) => raw);
  const inner = parts.flatMap((part, n) =>
    withMore(part).map((longer) => tlv(element.tag, Buffer.concat(parts.with(n, longer)))),
  );
  return [...inner, tlv(element.tag, Buffer.concat([...parts, tlv(tag.null)]))];
}
