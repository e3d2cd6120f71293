/** What becomes of a delivery whose attempt failed: decided from what is given, for the loop and for its simulation. */
import { consequenceOf, type ErrorCode } from "../errors.ts";
import type { Delivery } from "../store/store.ts";
import type { Station } from "./metrics.ts";

export type Retry = { readonly first: number; readonly max: number; readonly for: number };

export const stationOf: Readonly<Record<Delivery["kind"], Station>> = {
  register: "route",
  change: "route",
  push: "route",
  notify: "route",
  fetch: "fetch",
  retrieve: "open",
  identify: "deliver",
  receipt: "deliver",
  message: "deliver",
  study: "deliver",
};

/**
 * Kinds whose sender says when the first octet goes out: until then a crash, or a connection that does not come, leaves them
 * queued. All others are marked when their attempt begins, since sent twice they are told once (decision 15).
 */
export const saysWhenSent: ReadonlySet<Delivery["kind"]> = new Set(["message"]);

/** A random share of the pause, so that what failed together does not come back together. */
const jitter = 0.2;
/** Doublings of the first pause; any more would only overflow. */
const maxDoublings = 30;

/**
 * What somebody else has committed meanwhile is found by the next attempt, so that a conflict is tried again, too.
 * Tried again with backoff until `retry.for` milliseconds after it was made, else parked; what may have arrived is ambiguous,
 * and parked at once where a person decides (`isHeld`). `attempts` counts this one; `now` and `due` are milliseconds since 1970.
 */
export function afterFailure(
  { attempts, createdAt }: Pick<Delivery, "attempts" | "createdAt">,
  code: ErrorCode,
  { now, retry, isHeld, random }: { now: number; retry: Retry; isHeld: boolean; random: number },
): { readonly state: "queued" | "ambiguous" | "parked"; readonly due: number } {
  const isOver = now - Date.parse(createdAt) > retry.for;
  const isAmbiguous = code === "PEER_AMBIGUOUS";
  const again = (consequenceOf(code).retry || code === "STORE_CONFLICT") && !isOver && !(isAmbiguous && isHeld);
  const pause = Math.min(retry.max, retry.first * 2 ** Math.min(attempts - 1, maxDoublings)) * (1 + random * jitter);
  return { state: again ? (isAmbiguous ? "ambiguous" : "queued") : "parked", due: now + pause };
}
