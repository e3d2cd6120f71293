/** What is told of the authorities that a house trusts: how soon they end, and what still needs one that has. */
import { readCertificate } from "../envelope/certificate.ts";
import { validatePath } from "../envelope/index.ts";
import { expiryOf } from "./expiry.ts";
import type { Expiring } from "./readiness.ts";
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
