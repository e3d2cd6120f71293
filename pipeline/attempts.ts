/** Attempts of deliveries, and what is kept of how each ended: a step where something is new, a pause of its destination, the next moment. */
import { orStale } from "../envelope/index.ts";
import { codeOf, consequenceOf, type ErrorCode, Fault, reasonOf } from "../errors.ts";
import type { Clock } from "../store/clock.ts";
import type { Change, Delivery, Id } from "../store/store.ts";
import { deliveryAudited, failing } from "./audited.ts";
import type { Jumps } from "./clock-jumps.ts";
import { afterFailure, hasReached, saysWhenSent, stationOf, toldOf } from "./delivery-decisions.ts";
import { openMarks } from "./marks.ts";
import { isPausing, type Pauses } from "./pauses.ts";
import { markedAhead } from "./places.ts";
import { watchOpenings } from "./seal-anew.ts";
import type { Alone, SendTogether, Sent, Together } from "./sends.ts";
import { pass, type Site, step } from "./site.ts";
import { bySlices } from "./slices.ts";
import { withBodies } from "./staging.ts";

/** What attempts share with the loop that begins them. */
export type Shared<T extends Together> = {
  readonly sends: Alone<T>;
  readonly clock: Clock;
  /** What many are done in goes on in the next one of the event loop. */
  readonly turn: () => Promise<void>;
  readonly pauses: Pauses;
  readonly jumps: Jumps;
  readonly isStopped: () => boolean;
  /** Whether somebody paused its system or channel, or its window has shut. */
  readonly isHalted: (delivery: Delivery) => boolean;
};

/** Each resolves once what came of it is kept, and never rejects. */
export type Attempts = {
  one(queued: Delivery): Promise<void>;
  /** All in one request, at least one. */
  together(queued: readonly Delivery[], send: SendTogether): Promise<void>;
};

const unmarkedMs = 1_000;

/** Attempts of one site. */
export function openAttempts<T extends Together>(
  site: Site,
  { sends, clock, turn, pauses, jumps, isStopped, isHalted }: Shared<T>,
): Attempts {
  const { store, config, log } = site;
  const openings = watchOpenings(site);
  const begins = openMarks(store, (destination) => markedAhead(config, destination));

  /** No mark says before that they are on the wire: sent again after a crash they are told once, too. */
  const attemptAll = async (queued: readonly Delivery[], send: SendTogether): Promise<void> => {
    const deliveries = queued.map((each) => ({ ...each, attempts: each.attempts + 1 }));
    const [first] = deliveries;
    if (!first) return;
    const started = performance.now();
    try {
      const sent = await pass(site, stationOf[first.kind], first.channel, () => send(site, deliveries, turn));
      const changes = await bySlices(sent, turn, (each, n) => delivered(deliveries[n] ?? first, each, started));
      await commitWaiting(first.id, changes.flat());
    } catch (failure) {
      const thrown = orStale(failure);
      if (isStopped() && site.signal.aborted) return;
      // What is wrong with one of them is no reason to refuse the others: each is sent by itself, unless somebody paused meanwhile.
      if (queued.length > 1 && !consequenceOf(codeOf(thrown)).retry)
        for (const each of queued) await attemptAll(isHalted(each) ? [] : [each], send);
      else await Promise.all(deliveries.map((delivery) => fail(delivery, thrown)));
    }
  };

  const attempt = async (queued: Delivery): Promise<void> => {
    const delivery = { ...queued, attempts: queued.attempts + 1 };
    const { id } = delivery;
    const started = performance.now();
    const mark = begins(delivery);
    try {
      // A crash left it on the wire: as little is known of it as of one that was not answered.
      if (queued.state === "ambiguous" && isHeld(delivery))
        throw new Fault("PEER_AMBIGUOUS", "nobody knows whether the system has it; ask there, then resend or discard");
      if (!saysWhenSent.has(delivery.kind)) await mark.onTheWire();
      const send = sends[delivery.kind as keyof typeof sends];
      const sent = await pass(site, stationOf[delivery.kind], delivery.channel, () =>
        send(site, delivery, mark.onTheWire),
      );
      await withBodies(sent.bodies ?? [], () => commitWaiting(id, delivered(delivery, sent, started)));
    } catch (failure) {
      const thrown = orStale(failure);
      const isEnded = store.deliveries.stateOf(id) === "discarded";
      if (!isEnded && (!isStopped() || !site.signal.aborted)) await fail(delivery, thrown, mark.isOnTheWire());
    } finally {
      mark.end();
    }
  };

  const delivered = (delivery: Delivery, sent: Sent, started: number): readonly Change[] => {
    const { id, record, kind, destination: peer, attempts } = delivery;
    const [ms, detail] = [performance.now() - started, sent.answer ?? null];
    const subject = sent.subject ?? record ?? id;
    if (!sent.ended) openings.took(peer);
    return [
      ...sent.changes,
      store.deliveries.mark(id, { attempts, ...(sent.ended ?? { state: "delivered", code: null, reason: null }) }),
      step(site, subject, stationOf[kind], sent.event, { peer, ms, attempt: attempts, detail }),
      ...(sent.ended ? [] : deliveryAudited(store, delivery, { ...sent.audit, subject })),
      ...resumed(delivery, undefined),
    ];
  };
  /** The destination took something, or refused it for its own sake: what waited for that goes on. */
  const resumed = (
    { destination: peer, channel, kind, record, id }: Delivery,
    code: ErrorCode | undefined,
  ): Change[] => {
    const pause = pauses.ended(peer, code, clock.steady());
    const fields = { channel, station: kind, message: record ?? id, peer };
    if (pause === "began") log(`${stationOf[kind]}.paused`, { ...fields, ...(code ? { code } : {}) }, "warn");
    if (pause !== "is over") return [];
    log(`${stationOf[kind]}.resumed`, fields);
    return [step(site, record ?? id, stationOf[kind], "resumed", { peer })];
  };

  /** The destination rejects us as a whole: one alarm, nothing parked, and a probe now and then. */
  const rejected = async (delivery: Delivery, thrown: unknown, began: boolean): Promise<void> => {
    const { id, kind, channel, destination: peer, record, attempts: attempt } = delivery;
    const [code, reason, station] = [codeOf(thrown), reasonOf(thrown), stationOf[kind]];
    const fields = { channel, station: kind, message: record ?? id, peer, code, reason, attempt };
    log(began ? `${station}.paused` : `${station}.deferred`, fields, began ? "error" : "warn");
    // After a restart the alarm is in the journal already.
    const steps = began && code !== delivery.code ? failing(site, station, delivery, "paused", { code, reason }) : [];
    const mark = store.deliveries.mark(id, { state: "queued", code, reason, attempts: attempt, due: clock.now() });
    await settle(id, [mark, ...steps]);
  };

  /** Whether a person decides about a message that was not answered. */
  const isHeld = ({ kind, destination }: Delivery): boolean =>
    kind === "message" && config.own.systems[destination]?.mllp?.ambiguous === "hold";

  const fail = async (delivery: Delivery, thrown: unknown, isOnTheWire = false): Promise<void> => {
    const failure = codeOf(thrown);
    if (isPausing(failure)) {
      const began = pauses.ended(delivery.destination, failure, clock.steady()) === "began";
      return await rejected(delivery, thrown, began);
    }
    const goesOn = resumed(delivery, failure);
    const now = clock.now();
    const moment = { wall: now, steady: clock.steady() };
    const { state, due } = afterFailure(delivery, failure, {
      now,
      age: jumps.age(Date.parse(delivery.createdAt), moment),
      isClockOff: jumps.isOff(moment),
      retry: config.delivery.retry,
      isHeld: isHeld(delivery),
      random: clock.random(),
    });
    const again = state !== "parked";
    const { code, reason } = toldOf(thrown, delivery, state);
    const { id, kind, channel, record, destination: peer, attempts: attempt } = delivery;
    const fields = { channel, station: kind, message: record ?? id, peer, code, reason, attempt };
    log(again ? `${stationOf[kind]}.deferred` : `${stationOf[kind]}.parked`, fields, again ? "warn" : "error");
    // One step a change of mind, not one an attempt: a house that is down for a week is told once.
    const isNew = code !== delivery.code || !again;
    const event = again ? "deferred" : "parked";
    const steps = isNew ? failing(site, stationOf[kind], delivery, event, { code, reason }) : [];
    const mark = store.deliveries.mark(id, {
      state,
      code,
      reason,
      attempts: attempt,
      due,
      hasReached: hasReached(delivery, failure, isOnTheWire),
    });
    await settle(id, [mark, ...steps, ...goesOn]);
    if (code === "PEER_UNOPENABLE") openings.refused(peer);
  };

  /** A full disk is waited for: what was sent and cannot be marked as sent would be sent twice. */
  const commitWaiting = async (id: Id, changes: readonly Change[]): Promise<void> => {
    for (let isTold = false; ; isTold = true) {
      try {
        return await store.commit(changes);
      } catch (thrown) {
        const code = codeOf(thrown);
        if (isStopped() || code !== "STORE_FULL") throw thrown;
        if (!isTold) log("deliver.unmarked", { message: id, code }, "error");
        await new Promise<void>((resolve) => clock.after(unmarkedMs, resolve));
      }
    }
  };

  /** What cannot be marked stays on the wire until the next start. */
  const settle = async (id: Id, changes: readonly Change[]): Promise<void> => {
    try {
      await commitWaiting(id, changes);
    } catch (thrown) {
      log("deliver.unmarked", { message: id, code: codeOf(thrown) }, "error");
    }
  };

  return { one: attempt, together: attemptAll };
}
