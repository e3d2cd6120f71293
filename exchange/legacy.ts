/**
 * semrs-2017 at the repository: one key, one attempt, one answer (envelope/SPEC.md), twenty failures an hour, and its end for
 * good when the partner shows that it can do better. Whatever fails after the clear headers is told as one refusal.
 */
import { legacyOf, type Partner } from "../envelope/identity.ts";
import {
  type AnyOpened,
  failureLimit,
  type Opened2017,
  open2017,
  orStale,
  profileOf,
  type RawHeaders,
  type Reservation,
  type Spool,
} from "../envelope/index.ts";
import { codeOf, consequence, Fault, reasonOf } from "../errors.ts";
import { belowReserve } from "../store/reserve.ts";
import type { Change } from "../store/store.ts";
import { isOfHere } from "./limits.ts";
import type { Exchange } from "./server.ts";

/** Statuses that are stored: what the same envelope is told again. */
const [stored, unopenable] = [204, 422] as const;

export type LegacyHop = { readonly peer: Partner; readonly spool: Spool };
/** Resolves when the document and its images are durable; ENVELOPE_NOT_OPENED for everything that is no matter of this moment. */
export type TakeLegacy = (headers: RawHeaders, body: AsyncIterable<Uint8Array>, hop: LegacyHop) => Promise<void>;
/** What the pipeline does with a document of this profile: keeps it together with `answered`, or throws. */
export type OnLegacy = (opened: Opened2017, answered: Change) => Promise<void>;

/** Whether an envelope is of this profile; ENVELOPE_UNSUPPORTED for none that is known. */
export const isLegacy = (headers: RawHeaders): boolean => profileOf(headers) === "semrs-2017";

/** A verified semrs-2 envelope of a partner with semrs-2017 ends that for good, before anything is answered. */
export async function endLegacy(
  { identity, store, now, log }: Exchange,
  { org }: Partner,
  opened: AnyOpened,
): Promise<void> {
  if (!legacyOf(identity, org, store.legacy.hasEnded) || opened.manifest.profile !== "semrs-2") return;
  await store.commit([store.legacy.end(org, now().toISOString())]);
  const reason = `${org} speaks semrs-2: semrs-2017 has ended for it; write profiles: [semrs-2]`;
  log("repository.upgraded", { peer: org, reason }, "warn");
}

/** One failure limit and one book of spent keys for the site. */
export function openLegacy(exchange: Exchange, onLegacy: OnLegacy): TakeLegacy {
  const { identity, store, now, log } = exchange;
  const failures = failureLimit();
  const underWay = new Map<string, Promise<void>>();
  return async (headers, body, { peer: { org }, spool }) => {
    const peer = legacyOf(identity, org, store.legacy.hasEnded);
    if (!peer || !identity.legacy)
      throw new Fault("ENVELOPE_UNSUPPORTED", `semrs-2017 is not, or no longer, for ${org}`);
    if (!store.reserve.hasSpace()) throw belowReserve();
    const attempt = failures.attempt(org, now());
    if (!attempt) throw new Fault("PEER_BUSY", `too many envelopes of ${org} did not open within the hour`);
    const done = Promise.withResolvers<void>();
    let [held, fresh]: (string | undefined)[] = [];
    const reserve = async (key: string, envelope: string): Promise<Reservation<number>> => {
      // One attempt after the other: the second of two that came at once gets the answer to the first.
      while (underWay.has(key)) await underWay.get(key);
      underWay.set(key, done.promise);
      held = key;
      const reservation = await spend(exchange, { key, org, envelope });
      if (reservation === "fresh") fresh = key;
      return reservation;
    };
    const { org: self, legacy, trust } = identity;
    try {
      const opening = { self, unwrapper: legacy.unwrapper, trust, now: now(), peer, spool, reserve };
      const result = await open2017(headers, body, opening);
      if (result.outcome === "opened") await onLegacy(result, store.legacy.answered(fresh ?? "", stored));
      else if (result.answer !== stored) throw new Fault("ENVELOPE_NOT_OPENED", "this envelope was refused before");
      attempt.succeeded();
      log("repository.received", { peer: org, reason: `semrs-2017, ${result.outcome}` }, "warn");
    } catch (failure) {
      const thrown = orStale(failure);
      // What passes (a full disk) leaves the envelope without an answer: the same octets may come again.
      if (isOfHere(thrown)) attempt.succeeded();
      if (!held || consequence(thrown).retry) throw thrown;
      if (fresh) await store.commit([store.legacy.answered(fresh, unopenable)]);
      throw new Fault("ENVELOPE_NOT_OPENED", `semrs-2017: ${causeOf(thrown)}`, { cause: thrown });
    } finally {
      if (held) underWay.delete(held);
      done.resolve();
    }
  };
}

/** The key is spent, durably, before anything is decrypted with it; only the envelope that spent it hears of its answer. */
async function spend(
  { store, now }: Exchange,
  { key, org, envelope }: { readonly key: string; readonly org: string; readonly envelope: string },
): Promise<Reservation<number>> {
  try {
    await store.commit([store.legacy.spend({ key, org, envelope, at: now().toISOString() })]);
    return "fresh";
  } catch (thrown) {
    if (codeOf(thrown) !== "STORE_CONFLICT") throw thrown;
  }
  const before = store.legacy.find(key);
  if (before?.org !== org || before.envelope !== envelope) return "spent";
  return before.answer === null ? "fresh" : { stored: before.answer };
}

/** What failed in opening is listed in the fault's cause: for the local log and for nobody else. */
const causeOf = (thrown: unknown): string =>
  codeOf(thrown) === "ENVELOPE_NOT_OPENED" && (thrown as Error).cause instanceof Error
    ? ((thrown as Error).cause as Error).message
    : reasonOf(thrown);
