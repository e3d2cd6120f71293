/**
 * What a partner could not open, or could not be sealed for, goes out again once its certificate is another one: after a reload,
 * and at a start. Nothing of it is final, since each attempt seals anew.
 */
import { legacyOf } from "../envelope/identity.ts";
import type { Delivery } from "../store/store.ts";
import { fingerprintOf } from "./partner.ts";
import { type Site, step } from "./site.ts";

const codes: readonly (string | null)[] = ["PEER_UNOPENABLE", "RECIPIENT_UNKNOWN"];
/** Parked deliveries that are looked at. */
const maxParked = 100_000;

/** Resolves once they are queued; how many. */
export async function sealAnew(site: Site): Promise<number> {
  const { store, now } = site;
  const again = store.deliveries
    .list({ state: "parked", limit: maxParked })
    .filter((delivery) => codes.includes(delivery.code) && isForAnother(site, delivery));
  if (again.length === 0) return 0;
  await store.commit(
    again.flatMap(({ id, record, destination: peer }) => [
      store.deliveries.mark(id, { state: "queued", due: now().getTime(), code: null, reason: null }),
      step(site, record ?? id, "route", "renewed", { peer }),
    ]),
  );
  site.wake();
  return again.length;
}

/** The reason of what was parked names the certificate that it was sealed for. */
function isForAnother({ identity, store }: Site, { destination, reason }: Delivery): boolean {
  const partner = destination === identity.org ? identity.self : identity.partners.get(destination);
  const certificate = (legacyOf(identity, destination, store.legacy.hasEnded) ?? partner)?.decrypt;
  return certificate !== undefined && !(reason ?? "").includes(fingerprintOf(certificate));
}
