/**
 * What a partner could not open, could not be sealed for, or answered under a certificate that was not known, goes out again once
 * its certificate is another one: after a reload, and at a start. Nothing of it is final, since each attempt seals anew.
 */
import { legacyOf } from "../envelope/identity.ts";
import { ofNobody } from "../envelope/signer.ts";
import type { Delivery } from "../store/store.ts";
import { fingerprintOf } from "./partner.ts";
import { type Site, step } from "./site.ts";

const unopened = "ENVELOPE_NOT_OPENED";
const codes: readonly (string | null)[] = ["PEER_UNOPENABLE", "RECIPIENT_UNKNOWN", unopened];
/** Parked deliveries that are looked at. */
const maxParked = 100_000;

/** Resolves once they are queued; how many. */
export async function sealAnew(site: Site): Promise<number> {
  const { store, now } = site;
  const again = store.deliveries
    .list({ state: "parked", limit: maxParked })
    .filter(
      ({ code, ...delivery }) =>
        codes.includes(code) && (code === unopened ? isOfSomebody : isForAnother)(site, delivery),
    );
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

/** Who has signed the answer, or what is in it, is known by now. */
const isOfSomebody = ({ identity }: Site, { reason }: Pick<Delivery, "reason">): boolean =>
  [...identity.partners.values()].some(({ signing }) => signing.some((sha256) => reason?.includes(ofNobody(sha256))));

/** The reason of what was parked names the certificate that it was sealed for. */
function isForAnother(
  { identity, store }: Site,
  { destination, reason }: Pick<Delivery, "destination" | "reason">,
): boolean {
  const partner = destination === identity.org ? identity.self : identity.partners.get(destination);
  const certificate = (legacyOf(identity, destination, store.legacy.hasEnded) ?? partner)?.decrypt;
  return certificate !== undefined && !(reason ?? "").includes(fingerprintOf(certificate));
}
