/** Signatures of a site itself, of whatever age: its certificate, or one before it of the same name from an authority that is trusted. */
import { generateKeyPairSync } from "node:crypto";
import { expect, test } from "vitest";
import { organizationOf } from "../../commands/envelope/keys.ts";
import { readCertificate } from "../../envelope/certificate.ts";
import { issueCertificate } from "../../envelope/issue.ts";
import { isOwnSignature } from "../../envelope/own-signature.ts";
import { certify, holder, signerExtras } from "./certificates.ts";
import { authority, dayMs, later, now, party } from "./parties.ts";

const ca = authority("CA");
const site = party("hospital-a", ca);
const own = [site.signer.certificate];
const by = (signer: Uint8Array, signingTime = now) => ({ signer, certificates: [signer], signingTime });
const is = (signer: Uint8Array, signingTime?: Date): boolean =>
  isOwnSignature(own, [ca.certificate], by(signer, signingTime));

test("its own certificate's is, whoever issued that", () => {
  expect(isOwnSignature(own, [], by(site.signer.certificate))).toBe(true);
});

test("one before it of the same name is, from an authority that was trusted when it was signed", () => {
  const before = party("hospital-a", ca).signer;
  expect(is(before.certificate)).toBe(true);
  expect(() => is(before.certificate, new Date("2001-01-01T00:00:00Z"))).toThrow(/valid|certificate/);
});

test("somebody else's is not, nor one of the same name from an authority that nobody trusts", () => {
  expect(is(party("hospital-b", ca).signer.certificate)).toBe(false);
  expect(() => is(party("hospital-a", authority("CA")).signer.certificate)).toThrow(/trust|anchor|path|signature/i);
  expect(isOwnSignature([], [ca.certificate], by(site.signer.certificate))).toBe(false);
});

test("nor one whose name only reads the same: a comma in an organisation begins no common name", () => {
  const named = (organization: string, commonName: string): Uint8Array => {
    const { publicKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
    const validity = { notBefore: later(-dayMs), notAfter: later(dayMs) };
    const serial = Uint8Array.of(7, organization.length);
    return issueCertificate(
      { subject: { organization, commonName }, publicKey, profile: "sign", serial, ...validity },
      ca,
    );
  };
  const [ours, theirs] = [named("hospital-a", "x, CN=y"), named("hospital-a, CN=x", "y")];
  expect(isOwnSignature([ours], [ca.certificate], by(theirs))).toBe(false);
  expect(isOwnSignature([ours], [ca.certificate], by(named("hospital-a", "x, CN=y")))).toBe(true);
});

test("what a certificate says of an organisation is not read from another of its names", () => {
  const one = holder("x, O=hospital-b");
  expect(() => organizationOf(readCertificate(certify(one, one, signerExtras)))).toThrow(/names no organisation/);
  expect(organizationOf(readCertificate(site.signer.certificate))).toBe("hospital-a");
});
