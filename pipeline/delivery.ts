/** The one delivery loop of a site: takes what is due, sends it through its station, and keeps trying until it is told not to. */
import { orStale } from "../envelope/index.ts";
import { codeOf, consequenceOf, type ErrorCode, Fault, reasonOf } from "../errors.ts";
import { type Clock, systemClock } from "../store/clock.ts";
import type { Change, Delivery, Except, Id, Way } from "../store/store.ts";
import { deliveryAudited, failing } from "./audited.ts";
import { openJumps } from "./clock-jumps.ts";
import { afterFailure, longestWait, saysWhenSent, stationOf, toldOf } from "./delivery-decisions.ts";
import { openMarks } from "./marks.ts";
import { isPausing, openPauses } from "./pauses.ts";
import { markedAhead, placesOf, refillAt } from "./places.ts";
import { watchOpenings } from "./seal-anew.ts";
import type { Alone, SendTogether, Sent, Together } from "./sends.ts";
import { pass, type Site, step } from "./site.ts";
import { bySlices } from "./slices.ts";
import { withBodies } from "./staging.ts";
import { shutAt } from "./windows.ts";

export type { Send, SendTogether, Sent } from "./sends.ts";
export type DeliveryLoop = { wake: Site["wake"]; stop(): Promise<void> };

const nameOf = ({ kind, destination }: Way): string => `${kind} ${destination}`;

/** Deliveries in one request: each keeps the receipt that names them all. */
const maxTogether = 32;
/** Requests that are not full follow one another by this much. */
const gatherMs = 100;
const unmarkedMs = 1_000;
const maxSleepMs = 60_000;

/** Runs until stopped; `wake` says that something was added. `turn`: what many are done in goes on in the next one of the loop. */
export function openDeliveryLoop<T extends Together>(
  site: Site,
  sends: Alone<T>,
  together: T,
  clock: Clock = systemClock,
  turn = (): Promise<void> => new Promise((resolve) => clock.soon(resolve)),
): DeliveryLoop {
  const { store, config, log } = site;
  const under = new Map<string, Promise<void>>();
  const load = new Map<string, number>();
  /** Ways on which deliveries are gathered: a request is under way, or was a moment ago. */
  const gathering = new Set<string>();
  const pauses = openPauses(() => config.delivery.retry);
  const jumps = openJumps({ wall: clock.now(), steady: clock.steady() });
  const openings = watchOpenings(site);
  const begins = openMarks(store, (destination) => markedAhead(config, destination));
  let callOff = (): void => undefined;
  let isStopped = false;
  let isQueued = false;

  const wake: DeliveryLoop["wake"] = (way) => {
    // The request that is under way there takes a look when it ends, and takes all that has come meanwhile with it.
    if (isStopped || isQueued || (way && gathering.has(nameOf(way)))) return;
    isQueued = true;
    clock.soon(look);
  };

  const look = (): void => {
    isQueued = false;
    if (isStopped) return;
    callOff();
    const [now, steady] = [clock.now(), clock.steady()];
    const by = jumps.look({ wall: now, steady });
    if (by < 0) setRight(-by);
    const free = (destination: string): number =>
      pauses.limit(destination, placesOf(config, destination), steady) - (load.get(destination) ?? 0);
    const shut = shutAt(config, now);
    const paused = new Set([
      ...pauses.closed(steady),
      ...site.stopped.paused("system"),
      ...shut.map(({ destination }) => destination),
    ]);
    const except = { channels: site.stopped.paused("channel"), ids: [...under.keys()] };
    const ways = store.deliveries
      .ways(now)
      .filter((way) => !paused.has(way.destination) && free(way.destination) > 0 && !gathering.has(nameOf(way)));
    // Of each way as many as there are places: a long queue hides no other.
    const due = ways
      .filter((way) => way.due <= now)
      .flatMap((way) => store.deliveries.due(way, now, free(way.destination), except))
      .sort((one, other) => one.due - other.due || (one.id < other.id ? -1 : 1));
    for (const delivery of due) {
      const { kind, destination } = delivery;
      if (free(destination) <= 0) continue;
      const send = together[kind];
      if (!send) begin(destination, [delivery], attempt(delivery));
      else if (!gathering.has(nameOf(delivery))) gather({ kind, destination }, send, except);
    }
    // What is due and not begun waits for a place, whose end wakes this loop, or for the end of a pause.
    const waits = [
      ...ways.map(({ next }) => (next ?? now) - now),
      (pauses.next(steady) ?? steady) - steady,
      ...shut.map(({ opens }) => opens - now),
    ].filter((ms) => ms > 0);
    if (waits.length > 0) callOff = clock.after(Math.min(...waits, maxSleepMs), wake);
  };

  /** The clock was ahead, by `back` or while no process ran: what was put off by it waits no longer than it would have. */
  const setRight = (back = 0): void => {
    const now = clock.now();
    const nearer = store.deliveries.nearer(now, now + longestWait(config), back);
    void store.commit([nearer]).then(
      () => wake(),
      (thrown: unknown) => log("deliver.unmarked", { code: codeOf(thrown) }, "error"),
    );
  };

  const begin = (destination: string, deliveries: readonly Delivery[], attempted: Promise<void>): void => {
    load.set(destination, (load.get(destination) ?? 0) + 1);
    const done = attempted.finally(() => {
      for (const { id } of deliveries) under.delete(id);
      const left = (load.get(destination) ?? 1) - 1;
      load.set(destination, left);
      if (left <= refillAt(config, destination)) wake();
    });
    for (const { id } of deliveries) under.set(id, done);
  };

  /** Sends all that are due on a way, and leaves a little time for more to come before it is gone again. */
  const gather = (way: Way, send: SendTogether, except: Except): void => {
    const started = clock.steady();
    const all = store.deliveries.due(way, clock.now(), maxTogether, except);
    gathering.add(nameOf(way));
    const leave = (): void => {
      gathering.delete(nameOf(way));
      wake();
    };
    const sent = attemptAll(all, send).finally(() => {
      const left = all.length < maxTogether ? started + gatherMs - clock.steady() : 0;
      if (left > 0) clock.after(left, leave);
      else gathering.delete(nameOf(way));
    });
    begin(way.destination, all, sent);
  };

  /** What is not begun now stays queued. */
  const isHalted = ({ destination, channel }: Delivery): boolean =>
    site.stopped.paused("system").includes(destination) ||
    site.stopped.paused("channel").includes(channel) ||
    shutAt(config, clock.now()).some((shut) => shut.destination === destination);

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
      if (isStopped && site.signal.aborted) return;
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
      if (!isEnded && (!isStopped || !site.signal.aborted)) await fail(delivery, thrown);
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

  const fail = async (delivery: Delivery, thrown: unknown): Promise<void> => {
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
    const mark = store.deliveries.mark(id, { state, code, reason, attempts: attempt, due });
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
        if (isStopped || code !== "STORE_FULL") throw thrown;
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

  setRight();
  wake();
  return {
    wake,
    stop: async () => {
      isStopped = true;
      callOff();
      await Promise.all(under.values());
    },
  };
}
