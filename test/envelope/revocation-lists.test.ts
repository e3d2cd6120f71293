/** Revocation lists without a path: by which of them a certificate is known to be revoked, and what one that has ended may be the cause of. */
import { describe, expect, test } from "vitest";
import { oids } from "../../envelope/algorithms.ts";
import { integer, tag, tlv } from "../../envelope/cms/der.ts";
import { orStale, revokedAt, validatePath } from "../../envelope/index.ts";
import { Fault } from "../../errors.ts";
import { authorityExtras, certify, holder, list, period, signerExtras } from "./certificates.ts";

const [root, namesake, house] = [holder("root"), holder("root"), holder("house")];
const [anchor, another] = [root, namesake].map((each) => certify(each, each, authorityExtras()));
const serial = Uint8Array.of(0x4d);
const certificate = certify(house, root, signerExtras, { serial });
const anchors = [anchor ?? new Uint8Array()];
const named = [integer(serial)];
const later = new Date(period.notBefore.getTime() + 86_400_000);

test.each([
  ["the authority's own", [list(root, named)], true],
  ["one that has ended, too", [list(root, named, [], [], new Date(0))], true],
  ["beside one that cannot be read", [Uint8Array.of(0x30, 0), list(root, named)], true],
  ["of which it is none", [list(root, [integer(Uint8Array.of(0x4e))])], false],
  ["of another with this name", [list(namesake, named)], false],
  ["followed by one without it", [list(root, named), list(root, [], [], [], later)], false],
  ["followed by one with it", [list(root), list(root, named, [], [], later)], true],
  ["none", [], false],
])("a list: %s", (_what, crls, isRevoked) => {
  expect(revokedAt(certificate, { anchors, crls })).toEqual(isRevoked ? period.notBefore : undefined);
});

test("what a delta adds counts, and what it takes off does not", () => {
  const delta = (reason: number): Uint8Array =>
    list(
      root,
      named,
      [
        [oids.deltaCrlIndicator, integer(1), true],
        [oids.crlNumber, integer(2)],
      ],
      [[oids.reasonCode, tlv(tag.enumerated, Uint8Array.of(reason))]],
      later,
    );
  expect(revokedAt(certificate, { anchors, crls: [list(root), delta(1)] })).toEqual(period.notBefore);
  expect(revokedAt(certificate, { anchors, crls: [list(root, named), delta(8)] })).toBeUndefined();
});

test("an authority of another name is passed over", () => {
  const stranger = holder("stranger");
  const before = [certify(stranger, stranger, authorityExtras()), ...anchors];
  expect(revokedAt(certificate, { anchors: before, crls: [list(root, named)] })).toEqual(period.notBefore);
});

describe("what a list that has ended may be the cause of", () => {
  const stranger = holder("stranger");
  const after = new Date(period.notAfter.getTime() + 1);
  const beyond = new Date(after.getTime() + 86_400_000);
  const refusal = (crls: readonly Uint8Array[], crlStaleMs = 0): unknown => {
    try {
      return validatePath(certificate, [], { anchors, crls, revocation: "require", crlStaleMs }, later, after);
    } catch (thrown) {
      return thrown;
    }
  };
  const ended = list(root);
  const current = list(root, named, [], [], period.notBefore, beyond);
  const behind = (cause: unknown) => new Fault("ENVELOPE_NOT_OPENED", "no list", { cause });
  test.each([
    ["a certificate that it speaks for", refusal([ended]), "REVOCATION_STALE"],
    ["one behind what a partner is told", behind(refusal([ended])), "REVOCATION_STALE"],
    ["none that is revoked, while it still counts", refusal([list(root, named)], 2), "CERTIFICATE_INVALID"],
    ["none that another list has revoked", refusal([list(stranger), current]), "CERTIFICATE_INVALID"],
    ["none of another authority", refusal([list(stranger)]), "CERTIFICATE_INVALID"],
    [
      "no certificate that TLS refused",
      new Fault("CERTIFICATE_INVALID", "not who it should be"),
      "CERTIFICATE_INVALID",
    ],
    ["nothing else", new Fault("ENVELOPE_NOT_OPENED", "no key"), "ENVELOPE_NOT_OPENED"],
  ])("%s", (_what, thrown, code) => {
    expect(orStale(thrown)).toMatchObject({ code });
  });
});

test("authorities of one name are told apart by what they have signed", () => {
  const both = { anchors: [another ?? new Uint8Array(), ...anchors], crls: [list(root, named)] };
  expect(revokedAt(certificate, both)).toEqual(period.notBefore);
});
