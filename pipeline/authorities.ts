/** What is told of the authorities that a house trusts: how soon they end. */
import { readCertificate } from "../envelope/certificate.ts";
import { expiryOf } from "./expiry.ts";
import type { Expiring } from "./readiness.ts";
import type { Site } from "./site.ts";

/** One line a name, of the one that ends first: an authority may be in two files, and its next one has its name. */
export function authorities({ identity: { trust }, now }: Pick<Site, "identity" | "now">): readonly Expiring[] {
  const at = now();
  const anchors = trust.anchors
    .map(readCertificate)
    .sort((one, other) => other.notAfter.getTime() - one.notAfter.getTime());
  const lines = anchors.flatMap(({ subjectText, notAfter }): readonly Expiring[] => {
    const { days, step } = expiryOf(notAfter, at);
    // One that has ended may still be trusted for what it issued once (decision 35).
    if (!step) return [];
    const says = `ends in ${days} d, on ${notAfter.toISOString().slice(0, 10)}; every house needs the next one beside it`;
    return [{ check: `certificate authority ${subjectText}`, step, days, state: "warn", says }];
  });
  return [...new Map(lines.map((line) => [line.check, line])).values()];
}
