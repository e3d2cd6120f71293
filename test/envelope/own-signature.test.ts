/** Signatures of a site itself, of whatever age: its certificate, or one before it of the same name from an authority that is trusted. */
import { expect, test } from "vitest";
import { isOwnSignature } from "../../envelope/own-signature.ts";
import { authority, now, party } from "./parties.ts";

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
