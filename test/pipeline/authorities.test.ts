/** What is told of the authorities that a house trusts, as they end and as they are replaced. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Trust } from "../../envelope/index.ts";
import { certificates } from "../../pipeline/readiness.ts";
import type { Site } from "../../pipeline/site.ts";
import { type AlertSite, openAlertSite } from "../alert-site.ts";
import { authorityExtras, certify, holder, list, period, signerExtras } from "../envelope/certificates.ts";
import { testPki, until } from "../sites.ts";

const dayMs = 24 * 3_600_000;
const [root, next, house] = [holder("root"), holder("next"), holder("house")];
const later = new Date(period.notAfter.getTime() + 400 * dayMs);
const ending = certify(root, root, authorityExtras());
const living = certify(next, next, authorityExtras(), { notAfter: later });
const by = (issuer: typeof root, notAfter = later): Uint8Array => certify(house, issuer, signerExtras, { notAfter });

let at: AlertSite;
beforeAll(async () => {
  at = await openAlertSite(await testPki());
});
afterAll(() => at.close());

/** A house with this certificate to be sealed for, and a partner with that one, so many days after the end of `root`. */
function siteOf(own: Uint8Array, partner: Uint8Array, trust: Partial<Trust>, days = 1) {
  const { identity } = at.site;
  const { self } = identity;
  const now = (): Date => new Date(period.notAfter.getTime() + days * dayMs);
  return {
    now,
    tls: { ...at.site.tls, certificate: "" },
    identity: {
      ...identity,
      signer: { ...identity.signer, certificate: own, chain: [] },
      self: { ...self, decrypt: own },
      partners: new Map([["hospital-b", { ...self, org: "hospital-b", decrypt: partner }]]),
      trust: { ...identity.trust, crls: [], ...trust },
    },
  };
}
const told = (site: Pick<Site, "identity" | "tls" | "now">): readonly string[] =>
  certificates(site)
    .filter(({ check }) => !/^certificate (sign|decrypt|tls)$/.test(check))
    .map(({ check, state, says }) => `${state} ${check}: ${says}`);

describe("an authority that has ended", () => {
  const both = [ending, living];
  test.each<[string, Uint8Array, Uint8Array, readonly string[]]>([
    [
      "is told of while certificates of its own are in use",
      by(root),
      by(root),
      [
        "fail certificate authority CN=root: ended on 2027-01-01, and what it has issued is refused: sign, decrypt, decrypt of hospital-b; have that issued by the next one",
      ],
    ],
    [
      "for a partner's, as well",
      by(next),
      by(root),
      [
        "warn certificate authority CN=root: ended on 2027-01-01, and what it has issued is refused: decrypt of hospital-b; have that issued by the next one",
      ],
    ],
    ["is trusted for what it issued once, and nothing is told", by(next), by(next), []],
    ["what has ended itself is told of by itself", by(root, period.notAfter), by(next), []],
  ])("%s", (_what, own, partner, expected) => {
    expect(told(siteOf(own, partner, { anchors: both }))).toEqual(expected);
  });

  test("is an alert that gets worse, and over once nothing of its is in use", async () => {
    const of = (own: Uint8Array) => siteOf(own, by(next), { anchors: both });
    const lines = (event: string) =>
      at.log.filter((line) => line.event === event && line.fields.peer?.startsWith("authority"));
    const syslog = "{ every: 100ms, syslog: [{ to: '127.0.0.1:1' }] }";
    const soon = at.begin(syslog, siteOf(by(root), by(next), { anchors: both }, -5));
    await until("told before", () => lines("alert.raised").length > 0);
    await soon.stop();
    expect(lines("alert.raised").map(({ fields }) => fields.peer?.split(" ").at(-1))).toEqual(["60", "30", "7"]);
    const after = at.begin(syslog, of(by(root)));
    await until("told after", () => lines("alert.raised").length > 3);
    await after.stop();
    expect(lines("alert.resolved")).toEqual([]);
    expect(lines("alert.raised").at(-1)?.fields).toMatchObject({
      peer: "authority CN=root 0",
      reason: expect.stringContaining("has expired"),
    });
    const last = at.begin(syslog, of(by(next)));
    await until("over", () => lines("alert.resolved").length >= 5);
    await last.stop();
  });
});

describe("revocation lists", () => {
  const end = period.notAfter;
  const beyond = new Date(end.getTime() + 100 * dayMs);
  const of = (issuer: typeof root, until = end, from = period.notBefore): Uint8Array =>
    list(issuer, [], [], [], from, until);
  const [renewed, stranger] = [new Date(period.notBefore.getTime() + dayMs), holder("stranger")];
  const due = "should have been renewed on 2027-01-01";
  const ofNone = `${due}, and no authority that is good now has issued it; take it out of trust.crls unless something needs it`;
  test.each<[string, readonly Uint8Array[], number, readonly string[]]>([
    ["that have ended", [of(next)], 2, [`fail revocation lists: ${due}; nothing is opened any more`]],
    ["that still count", [of(next)], 0.5, [`warn revocation lists: ${due}`]],
    ["that a newer one follows", [of(next), of(next, beyond, renewed)], 2, []],
    ["of an authority that has ended", [of(root), of(next, beyond)], 2, [`warn revocation lists: ${ofNone}`]],
    ["of one that is not trusted", [of(stranger), of(next, beyond)], 2, [`warn revocation lists: ${ofNone}`]],
    ["of both", [of(stranger), of(next)], 2, [`fail revocation lists: ${due}; nothing is opened any more`]],
  ])("%s", (_what, crls, days, expected) => {
    const site = siteOf(by(next), by(next), { anchors: [ending, living], crls, crlStaleMs: dayMs }, days);
    expect(told(site)).toEqual(expected);
  });

  test("are an alert once they should have been renewed, and another once nothing is opened", async () => {
    const open = async (days: number, crls: readonly Uint8Array[]) => {
      const site = siteOf(by(next), by(next), { anchors: [living], crls, crlStaleMs: dayMs }, days);
      const before = at.log.length;
      const alerting = at.begin("{ every: 100ms, syslog: [{ to: '127.0.0.1:1' }] }", site);
      await until("told", () => at.log.slice(before).some(({ fields }) => fields.station === "revocation"));
      await alerting.stop();
      const lines = at.log.slice(before).filter(({ fields }) => fields.station === "revocation");
      return lines.map(({ event, fields }) => `${event} ${fields.peer}`);
    };
    expect(await open(0.5, [of(next)])).toEqual(["alert.raised late"]);
    expect(await open(2, [of(next)])).toEqual(["alert.raised over"]);
    expect(await open(2, [of(next, beyond)])).toEqual(["alert.resolved late", "alert.resolved over"]);
  });
});
