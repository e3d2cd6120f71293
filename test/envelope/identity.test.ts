/** Whom we know: who receives what, and who speaks the older profile. */
import { expect, test } from "vitest";
import { type Identity, legacyOf, type Partner, receiverOf } from "../../envelope/identity.ts";
import { hospitalB, peerA } from "./legacy.ts";
import { a, b, trust } from "./parties.ts";

const partner = (more: Partial<Partner> = {}): Partner => ({
  org: a.org,
  signing: [],
  decrypt: a.unwrapper.certificate,
  tls: "",
  profiles: ["semrs-2"],
  ...more,
});
const legacy = { ...peerA, decrypt: hospitalB.unwrapper.certificate };
const known = (one: Partner): Identity => ({
  org: b.org,
  signer: b.signer,
  unwrappers: [b.unwrapper],
  trust,
  self: partner({ org: b.org }),
  partners: new Map([[one.org, one]]),
});

test("an envelope is sealed for a partner's certificate; without one there is nobody to seal for", () => {
  expect(receiverOf(partner())).toEqual({ org: a.org, certificate: a.unwrapper.certificate });
  expect(() => receiverOf(partner({ decrypt: undefined }))).toThrow(
    expect.objectContaining({ code: "RECIPIENT_UNKNOWN", message: expect.stringContaining("decrypt.crt") }),
  );
});

test("98 a partner speaks semrs-2017 if it is configured so, and until that has ended", () => {
  const [never, ended] = [() => false, (org: string) => org === a.org];
  expect(legacyOf(known(partner({ legacy })), a.org, never)).toBe(legacy);
  expect(legacyOf(known(partner({ legacy })), a.org, ended)).toBeUndefined();
  expect(legacyOf(known(partner()), a.org, never)).toBeUndefined();
  expect(legacyOf(known(partner({ legacy })), b.org, never)).toBeUndefined();
});
