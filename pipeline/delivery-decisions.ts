/** What becomes of a delivery whose attempt failed: decided from what is given, for the loop and for its simulation. */
import { codeOf, consequenceOf, type ErrorCode, reasonOf } from "../errors.ts";
import type { Delivery, Store } from "../store/store.ts";
import { inboundChannels } from "./channels.ts";
import type { Config } from "./config.ts";
import type { Station } from "./metrics.ts";

/** What a clock that is wrong makes of certificates, signatures and times: tried again as long as it was set while the house ran. */
const timed: ReadonlySet<ErrorCode> = new Set(["ENVELOPE_NOT_OPENED", "ENVELOPE_EXPIRED", "CERTIFICATE_INVALID"]);

/** Nothing was sent. */
export const unreached = "PEER_UNREACHABLE";
/** It may have arrived. */
export const unanswered = "PEER_AMBIGUOUS";

export type Retry = { readonly first: number; readonly max: number; readonly for: number };

/** The station under which journal, log and metrics tell of each kind. */
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
 * queued. All others are marked when their attempt begins, since sent twice they are told once (decision 19).
 */
export const saysWhenSent: ReadonlySet<Delivery["kind"]> = new Set(["message"]);

type Circumstances = {
  readonly now: number;
  readonly age: number;
  readonly isClockOff: boolean;
  readonly retry: Retry;
  readonly isHeld: boolean;
  readonly random: number;
};

/** A random share of the pause, so that what failed together does not come back together. */
const jitter = 0.2;
/** Doublings of the first pause; any more would only overflow. */
const maxDoublings = 30;

/**
 * What somebody else has committed meanwhile is found by the next attempt, so that a conflict is tried again, too.
 * Tried again with backoff until `retry.for` milliseconds after it was made, else parked; what may have arrived is ambiguous,
 * and parked at once where a person decides (`isHeld`); `due` of what is parked is since when. `attempts` counts this one; `now`
 * and `due` are milliseconds since 1970, `age` those since it was made.
 */
export function afterFailure(
  { attempts, state }: Pick<Delivery, "attempts" | "state">,
  code: ErrorCode,
  { now, age, isClockOff, retry, isHeld, random }: Circumstances,
): { readonly state: "queued" | "ambiguous" | "parked"; readonly due: number } {
  const isOver = age > retry.for;
  const isUnanswered = code === unanswered;
  // An attempt that found nobody tells nothing of the one before.
  const isAmbiguous = isUnanswered || (state === "ambiguous" && code === unreached);
  const mayPass = consequenceOf(code).retry || code === "STORE_CONFLICT" || (isClockOff && timed.has(code));
  const again = mayPass && !isOver && !(isUnanswered && isHeld);
  const pause = Math.min(retry.max, retry.first * 2 ** Math.min(attempts - 1, maxDoublings)) * (1 + random * jitter);
  if (!again) return { state: "parked", due: now };
  return { state: isAmbiguous ? "ambiguous" : "queued", due: now + pause };
}

/** Whether something of an attempt that failed may be there. */
export const hasReached = ({ kind }: Pick<Delivery, "kind">, code: ErrorCode, isOnTheWire: boolean): boolean =>
  code === unanswered || (saysWhenSent.has(kind) && isOnTheWire && code !== unreached);

/** What a failure is called: what may have arrived, and nobody was reached about since, is parked as that. */
export function toldOf(
  thrown: unknown,
  { state: before }: Pick<Delivery, "state">,
  after: Delivery["state"],
): { readonly code: ErrorCode; readonly reason: string } {
  const [code, reason] = [codeOf(thrown), reasonOf(thrown)];
  const isUnknown = before === "ambiguous" && after === "parked" && code === unreached;
  return isUnknown ? { code: unanswered, reason: `it may have arrived, and since: ${reason}` } : { code, reason };
}

/** Whether what was sent was not answered, ever: who ended such a delivery may have found that it is there. */
export const wasUnanswered = (
  { steps }: Pick<Store, "steps">,
  { id, record, kind, destination }: Pick<Delivery, "id" | "record" | "kind" | "destination">,
): boolean =>
  steps
    .of([record ?? id])
    .some(({ station, peer, code }) => station === stationOf[kind] && peer === destination && code === unanswered);

/** The longest that a delivery is ever put off by: what is due later was, by a clock that was wrong. */
export const longestWait = (config: Pick<Config, "delivery" | "own">): number =>
  Math.max(
    config.delivery.retry.max * (1 + jitter),
    ...inboundChannels(config).flatMap(({ fetch }) =>
      fetch.when.flatMap((when) => ("admission" in when ? when.again : [])),
    ),
  );
