/** Certificates that prove nothing, by the numbers of the list of refusals; PKITS has the rest (test/conformance/pkits.test.ts). */
import { createPublicKey } from "node:crypto";
import { describe, expect, test } from "vitest";
import { isRsaSize, oids } from "../../envelope/algorithms.ts";
import { boolean, context, integer, oid, sequence, tag, tlv } from "../../envelope/cms/der.ts";
import { type Trust, validatePath } from "../../envelope/path.ts";
import { authorityExtras, certify, type Extra, type Holder, holder, list, signerExtras } from "./certificates.ts";

const at = new Date("2026-05-04T12:00:00Z");
const root = holder("root");
const middle = holder("middle");
const leaf = holder("leaf");
const rootCertificate = certify(root, root, authorityExtras());
const trustOf = (crls: readonly Uint8Array[], anchors = [rootCertificate]): Trust => ({
  anchors,
  crls,
  revocation: "require",
});

type Case = {
  readonly middle?: readonly Extra[];
  readonly leaf?: readonly Extra[];
  readonly subject?: Holder;
  readonly cause: RegExp;
};
const check = (change: Omit<Case, "cause">): void => {
  const issued = certify(middle, root, change.middle ?? authorityExtras());
  const end = certify(change.subject ?? leaf, middle, change.leaf ?? signerExtras);
  validatePath(end, [issued], trustOf([list(root), list(middle)]), at);
};

const generalName = (number: number, text: string): Uint8Array => tlv(context(number, false), Buffer.from(text));
const alternative = (number: number, text: string): Extra => [oids.subjectAltName, sequence(generalName(number, text))];
const permitted = (number: number, text: string): readonly Extra[] => [
  ...authorityExtras(),
  [oids.nameConstraints, sequence(tlv(context(0), sequence(generalName(number, text)))), true],
];
const within = (number: number, subtree: string, name: string) => ({
  middle: permitted(number, subtree),
  leaf: [...signerExtras, alternative(number, name)],
});

test.each([
  [2047, false],
  [2048, true],
  [8192, true],
  [8193, false],
])("RSA of %i bits is used: %s", (bits, isUsed) => expect(isRsaSize(bits)).toBe(isUsed));

describe("certificates", () => {
  test("a path with nothing wrong holds", () => {
    check({});
    check(within(2, "hospital.example", "his.hospital.example"));
    check(within(1, "a@hospital.example", "a@Hospital.example"));
    check(within(6, ".hospital.example", "https://user@his.hospital.example:443/x"));
    check(within(7, "\x0a\x01\x00\x00\x7f\x7f\x00\x00", "\x0a\x01\x02\x03"));
  });

  const cases: Readonly<Record<string, Case>> = {
    "57 an RSA key of 1024 bits": { subject: holder("weak", { bits: 1024 }), cause: /too weak/ },
    "57 an RSA key with e = 3": { subject: holder("weak", { bits: 2048, exponent: 3 }), cause: /too weak/ },
    "70 an issuer whose BasicConstraints go on": {
      middle: [
        [oids.basicConstraints, sequence(boolean(true), integer(1), integer(1)), true],
        ...authorityExtras().slice(1),
      ],
      cause: /no path leads/,
    },
    "70 an issuer with CA:FALSE": { middle: signerExtras, cause: /is no CA/ },
    "70 an issuer without BasicConstraints": { middle: authorityExtras().slice(1), cause: /is no CA/ },
    "72 a DNS name outside": {
      ...within(2, "hospital.example", "hospital.example.evil"),
      cause: /outside the permitted/,
    },
    "72 a DNS name that only ends alike": {
      ...within(2, "pital.example", "hospital.example"),
      cause: /outside the perm/,
    },
    "72 an address of another mailbox": { ...within(1, "a@hospital.example", "A@hospital.example"), cause: /outside/ },
    "72 a URI that has no host": { ...within(6, ".hospital.example", "urn:oid:1.2.3"), cause: /outside the permitted/ },
    "72 a URI whose host is an address": { ...within(6, ".hospital.example", "https://10.1.2.3/"), cause: /outside/ },
    "72 an IP address outside": {
      ...within(7, "\x0a\x01\x00\x00\x7f\x7f\x00\x00", "\x0b\x01\x02\x03"),
      cause: /outside/,
    },
    "72 a kind of name there is no rule for": { ...within(8, "\x2a\x03", "\x2a\x03"), cause: /outside the permitted/ },
    "75 an unknown critical extension": {
      leaf: [...signerExtras, ["1.2.3.4.5", tlv(tag.null), true]],
      cause: /critical extension that is not understood \(1\.2\.3\.4\.5\)/,
    },
  };
  test.each(Object.entries(cases))("%s", (_, { cause, ...change }) => {
    expect(() => check(change)).toThrow(
      expect.objectContaining({ code: "CERTIFICATE_INVALID", message: expect.stringMatching(cause) }),
    );
  });

  test("57 an RSA key of 16384 bits", () => {
    // A modulus of that length, not a key: making one takes minutes, and it must not come to using it.
    const modulus = Buffer.alloc(2048, 0xff);
    const spki = sequence(
      sequence(oid(oids.rsaEncryption), tlv(tag.null)),
      tlv(tag.bitString, Uint8Array.of(0), sequence(integer(modulus), integer(65537))),
    );
    const giant = {
      ...holder("giant"),
      publicKey: createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" }),
    };
    expect(() => check({ subject: giant })).toThrow(/too weak or of a kind not used/);
  });

  test("70 a path longer than pathLenConstraint", () => {
    const below = holder("below");
    const chain = [certify(middle, root, authorityExtras(0)), certify(below, middle, authorityExtras())];
    const lists = trustOf([list(root), list(middle), list(below)]);
    expect(() => validatePath(certify(leaf, below, signerExtras), chain, lists, at)).toThrow(/too long/);
  });

  test("74 a chain of 20", () => {
    const holders = Array.from({ length: 20 }, (_, index) => holder(`authority ${index}`));
    const chain = holders.map((each, index) => certify(each, holders[index - 1] ?? root, authorityExtras()));
    const lists = trustOf([list(root), ...holders.map((each) => list(each))]);
    const end = certify(leaf, holders.at(-1) ?? root, signerExtras);
    expect(() => validatePath(end, chain, lists, at)).toThrow(/no path within 8 certificates/);
  });

  test("74 authorities that certify one another in a circle, and lead nowhere", () => {
    const circle = Array.from({ length: 6 }, (_, index) => holder(`circle ${index}`));
    const chain = circle.flatMap((one) => circle.map((other) => certify(one, other, authorityExtras())));
    const end = certify(leaf, circle[0] ?? root, signerExtras);
    expect(() => validatePath(end, chain, trustOf([list(root)]), at)).toThrow(/no path/);
  });

  test("68 a list by somebody of the authority's name under another trusted authority", () => {
    const other = holder("other root");
    const impostor = holder("middle");
    const [issued, false_] = [certify(middle, root, authorityExtras()), certify(impostor, other, authorityExtras())];
    const anchors = [rootCertificate, certify(other, other, authorityExtras())];
    const lists = (crl: Uint8Array): Trust => trustOf([list(root), list(other), crl], anchors);
    const end = certify(leaf, middle, signerExtras);
    validatePath(end, [issued, false_], lists(list(middle)), at);
    expect(() => validatePath(end, [issued, false_], lists(list(impostor)), at)).toThrow(/no revocation list/);
  });

  test("69 an OCSP answer is no revocation list, whatever it says: only lists count", () => {
    // OCSPResponse with status successful (RFC 6960 4.2.1), where a list is due.
    const answer = sequence(tlv(tag.enumerated, Uint8Array.of(0)));
    const issued = certify(middle, root, authorityExtras());
    const end = certify(leaf, middle, signerExtras);
    expect(() => validatePath(end, [issued], trustOf([list(root), answer]), at)).toThrow(
      /no revocation list of CN=middle/,
    );
  });

  test("a path that held is asked for once until its certificates or lists end, then again", () => {
    const issued = certify(middle, root, authorityExtras());
    const end = certify(leaf, middle, signerExtras);
    const trust = trustOf([list(root), list(middle)]);
    validatePath(end, [issued], trust, at);
    // The chain is gone, and still it holds: nothing was looked at again.
    validatePath(end, [], trust, new Date(at.getTime() + 1000));
    expect(() => validatePath(end, [], trust, new Date("2027-01-01T00:00:01Z"))).toThrow(/no path/);
    expect(() => validatePath(end, [], trust, new Date(at.getTime() - 1000))).toThrow(/no path/);
    expect(() => validatePath(end, [], { ...trust }, at)).toThrow(/no path/);
  });
});
