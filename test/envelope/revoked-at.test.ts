/** A revocation that is known without a path: by which lists it counts, and by which not. */
import { expect, test } from "vitest";
import { oids } from "../../envelope/algorithms.ts";
import { integer, tag, tlv } from "../../envelope/cms/der.ts";
import { revokedAt } from "../../envelope/index.ts";
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

test("authorities of one name are told apart by what they have signed", () => {
  const both = { anchors: [another ?? new Uint8Array(), ...anchors], crls: [list(root, named)] };
  expect(revokedAt(certificate, both)).toEqual(period.notBefore);
});
