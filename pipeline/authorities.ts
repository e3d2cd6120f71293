/** What is told of the authorities that a house trusts: how soon they end, what still needs one that has, and how old their lists are. */
import { readCertificate } from "../envelope/certificate.ts";
import { type Crl, readCrl } from "../envelope/crl.ts";
import { validatePath } from "../envelope/index.ts";
import { expiryOf } from "./expiry.ts";
import type { Check, Expiring } from "./readiness.ts";
import type { Site } from "./site.ts";

type Watched = Pick<Site, "identity" | "now">;
/** DER of the house's own certificates, by name. */
type Own = Readonly<Record<string, Uint8Array | undefined>>;

/** One line a name, of the one that ends first: an authority may be in two files, and its next one has its name. */
export function authorities(site: Watched, own: Own, chain: readonly Uint8Array[]): readonly Expiring[] {
  const anchors = site.identity.trust.anchors
    .map(readCertificate)
    .sort((one, other) => other.notAfter.getTime() - one.notAfter.getTime());
  const lines = anchors.flatMap(({ raw, subjectText, notAfter }): readonly Expiring[] => {
    const { days, step } = expiryOf(notAfter, site.now());
    if (step === undefined) return [];
    const [check, day] = [`certificate authority ${subjectText}`, notAfter.toISOString().slice(0, 10)];
    if (step > 0) {
      const says = `ends in ${days} d, on ${day}; every house needs the next one beside it`;
      return [{ check, step, days, state: "warn", says }];
    }
    const needing = needingOf(site, own, chain, raw);
    // It may still be trusted for what it issued once (decision 35).
    if (needing.length === 0) return [];
    const says = `ended on ${day}, and what it has issued is refused: ${needing.join(", ")}; have that issued by the next one`;
    return [{ check, step, days, state: needing.some((name) => name in own) ? "fail" : "warn", says }];
  });
  return [...new Map(lines.map((line) => [line.check, line])).values()];
}

/** What is in use, has not ended itself, and held by an authority that has ended alone. */
function needingOf({ identity, now }: Watched, own: Own, chain: readonly Uint8Array[], anchor: Uint8Array) {
  const [at, end] = [now(), readCertificate(anchor).notAfter];
  const others = [...chain, ...identity.signer.chain];
  const holds = (der: Uint8Array, anchors: readonly Uint8Array[], when: Date): boolean => {
    try {
      validatePath(der, others, { anchors, crls: [], revocation: "skip" }, when);
      return true;
    } catch {
      return false;
    }
  };
  const partners = [...identity.partners.values()].map(({ org, decrypt }) => [`decrypt of ${org}`, decrypt] as const);
  return [...Object.entries(own), ...partners].flatMap(([name, der]) =>
    der && readCertificate(der).notAfter > at && holds(der, [anchor], end) && !holds(der, identity.trust.anchors, at)
      ? [name]
      : [],
  );
}

/**
 * The worst of the lists, of each scope the newest. One whose authority is not trusted, or has ended, keeps nothing new from being opened.
 */
export function revocationLists({ identity: { trust, signer }, now }: Watched): readonly Check[] {
  const check = "revocation lists";
  const { anchors, crls, crlStaleMs = 0, revocation } = trust;
  const at = now();
  const issuing = [...anchors, ...signer.chain].map(readCertificate).filter(({ notAfter }) => notAfter >= at);
  const isIssued = ({ issuerKey, aki }: Crl): boolean =>
    issuing.some(({ subjectKey, ski }) => subjectKey === issuerKey && (!aki || !ski || aki === ski));
  const lists = revocation === "require" ? crls.map(readCrl) : [];
  const newest = new Map(
    lists
      .sort((one, other) => one.thisUpdate.getTime() - other.thisUpdate.getTime())
      .map((crl) => [[crl.issuerKey, crl.aki, crl.pointHex, crl.base === null].join(), crl]),
  );
  const late = [...newest.values()]
    .filter(({ nextUpdate }) => nextUpdate < at)
    .sort(
      (one, other) =>
        Number(isIssued(other)) - Number(isIssued(one)) || Number(one.nextUpdate) - Number(other.nextUpdate),
    );
  const [worst] = late;
  if (!worst) return [];
  const says = `should have been renewed on ${worst.nextUpdate.toISOString().slice(0, 10)}`;
  if (!isIssued(worst)) {
    const next = "take it out of trust.crls unless something needs it";
    return [{ check, state: "warn", says: `${says}, and no authority that is good now has issued it; ${next}` }];
  }
  if (worst.nextUpdate.getTime() + crlStaleMs >= at.getTime()) return [{ check, state: "warn", says }];
  return [{ check, state: "fail", says: `${says}; nothing is opened any more` }];
}
