/**
 * What a partner could not open, could not be sealed for, or answered under a certificate that was not known, goes out again once
 * its certificate is another one: after a reload, and at a start. Nothing of it is final, since each attempt seals anew. What it
 * could not open because it did not know ours yet goes out again, once, when it has opened something else (decision 38).
 */
import { legacyOf } from "../envelope/identity.ts";
import { ofNobody } from "../envelope/signer.ts";
import { codeOf, reasonOf } from "../errors.ts";
import type { Delivery, Id } from "../store/store.ts";
import { fingerprintOf } from "./partner.ts";
import { type Site, step } from "./site.ts";

const unopened = "ENVELOPE_NOT_OPENED";
const codes: readonly (string | null)[] = ["PEER_UNOPENABLE", "RECIPIENT_UNKNOWN", unopened];
/** Parked deliveries that are looked at. */
const maxParked = 100_000;

const parked = ({ store }: Pick<Site, "store">): readonly Delivery[] =>
  store.deliveries.list({ state: "parked", limit: maxParked });

/** Resolves once they are queued; how many. */
export const sealAnew = (site: Site): Promise<number> =>
  queueAgain(
    site,
    parked(site).filter(
      ({ code, ...delivery }) =>
        codes.includes(code) && (code === unopened ? isOfSomebody : isForAnother)(site, delivery),
    ),
  );

async function queueAgain(site: Site, again: readonly Delivery[]): Promise<number> {
  if (again.length === 0) return 0;
  const { store, now } = site;
  await store.commit(
    again.flatMap(({ id, record, destination: peer }) => [
      store.deliveries.mark(id, { state: "queued", due: now().getTime(), code: null, reason: null }),
      step(site, record ?? id, "route", "renewed", { peer }),
    ]),
  );
  site.wake();
  return again.length;
}

/** What partners open and do not open. */
export type Openings = {
  /** Something was parked, since this one cannot open it. */
  refused(org: string): void;
  /** It took something that was sealed for it. */
  took(org: string): void;
};

/** Each is tried again once by this process: what is refused for another reason than a certificate would be sent for ever. */
export function watchOpenings(site: Site): Openings {
  const isUnopened = ({ code }: Delivery): boolean => code === "PEER_UNOPENABLE";
  const behind = new Set(
    parked(site)
      .filter(isUnopened)
      .map(({ destination }) => destination),
  );
  const tried = new Set<Id>();
  return {
    refused: (org) => void behind.add(org),
    took: (org) => {
      if (!behind.delete(org)) return;
      const again = parked(site).filter((each) => each.destination === org && isUnopened(each) && !tried.has(each.id));
      for (const { id } of again) tried.add(id);
      queueAgain(site, again).catch((thrown: unknown) =>
        site.log("route.unchanged", { peer: org, code: codeOf(thrown), reason: reasonOf(thrown) }, "error"),
      );
    },
  };
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
