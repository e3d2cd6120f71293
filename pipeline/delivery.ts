/** The one delivery loop of a site: takes what is due, sends it through its station, and keeps trying until it is told not to. */
import { setTimeout as wait } from "node:timers/promises";
import { codeOf, consequenceOf, type ErrorCode, Fault, reasonOf } from "../errors.ts";
import type { Change, Delivery, Id } from "../store/store.ts";
import type { Station } from "./metrics.ts";
import { isPausing, openPauses } from "./pauses.ts";
import { pass, type Site, step } from "./site.ts";

/** What to commit together with a delivery's success, and what is told of it. */
export type Sent = {
  readonly changes: readonly Change[];
  /** What happened, and to which record where the delivery has none of its own. */
  readonly event: string;
  readonly subject?: Id;
  /** What the other side answered. */
  readonly answer?: string;
  /** How it ended where it was not delivered: there was nothing left to send. */
  readonly ended?: { readonly state: "discarded"; readonly code: string; readonly reason: string };
};
export type Send = (site: Site, delivery: Delivery) => Promise<Sent>;

export type DeliveryLoop = { wake(): void; stop(): Promise<void> };

const stationOf: Readonly<Record<Delivery["kind"], Station>> = {
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
/** Deliveries under way to one destination at once; one that is slow or down holds no other up. */
const maxPerDestination = 4;
const maxLooked = 64;
const unmarkedMs = 1_000;
const maxSleepMs = 60_000;
/** A random share of the pause, so that what failed together does not come back together. */
const jitter = 0.2;

/** Runs until stopped; `wake` says that something was added, `after` is told of each delivery that is committed as delivered. */
export function openDeliveryLoop(
  site: Site,
  sends: Readonly<Record<Delivery["kind"], Send>>,
  after: (delivery: Delivery) => Promise<void>,
): DeliveryLoop {
  const { store, config, log } = site;
  const under = new Map<string, Promise<void>>();
  const load = new Map<string, number>();
  const pauses = openPauses(() => config.delivery.retry);
  let timer: NodeJS.Timeout | undefined;
  let isStopped = false;
  let isQueued = false;

  /** A HIS gets as many messages at once as it takes connections: one that waits for a connection is not on the wire. */
  const placesOf = (destination: string): number => {
    const { mllp, dicom } = config.own.systems[destination] ?? {};
    return mllp?.connect && !dicom?.connect ? mllp.connections : maxPerDestination;
  };

  const wake = (): void => {
    if (isStopped || isQueued) return;
    isQueued = true;
    setImmediate(look);
  };

  const look = (): void => {
    isQueued = false;
    if (isStopped) return;
    clearTimeout(timer);
    const now = Date.now();
    // A destination that is busy is asked for nothing more: its queue would hide the others'.
    const isBusy = (destination: string): boolean =>
      (load.get(destination) ?? 0) >= pauses.limit(destination, placesOf(destination), now);
    const busyOnes = [...[...load.keys()].filter(isBusy), ...pauses.closed(now), ...site.stopped.paused("system")];
    const except = { destinations: [...new Set(busyOnes)], channels: site.stopped.paused("channel") };
    // Those that were just begun are still due until their mark is committed.
    const mostPlaces = Math.max(maxPerDestination, ...Object.keys(config.own.systems).map(placesOf));
    const wanted = Math.min(maxLooked, under.size + mostPlaces);
    for (const delivery of store.deliveries.due(now, wanted, except)) {
      if (under.has(delivery.id) || isBusy(delivery.destination)) continue;
      load.set(delivery.destination, (load.get(delivery.destination) ?? 0) + 1);
      const done = attempt(delivery).finally(() => {
        under.delete(delivery.id);
        load.set(delivery.destination, (load.get(delivery.destination) ?? 1) - 1);
        wake();
      });
      under.set(delivery.id, done);
    }
    // What is due and not begun waits for a place, whose end wakes this loop, or for the end of a pause.
    const times = [store.deliveries.nextDue(now, except), pauses.next()].filter((at) => at !== undefined && at > now);
    const next = Math.min(...(times as number[]), now + maxSleepMs);
    if (times.length > 0) timer = setTimeout(wake, next - now);
  };

  const attempt = async (queued: Delivery): Promise<void> => {
    const delivery = { ...queued, attempts: queued.attempts + 1 };
    const { id, attempts } = delivery;
    const station = stationOf[delivery.kind];
    const started = performance.now();
    try {
      // A crash left it on the wire: as little is known of it as of one that was not answered.
      if (queued.state === "ambiguous" && isHeld(delivery))
        throw new Fault("PEER_AMBIGUOUS", "nobody knows whether the system has it; ask there, then resend or discard");
      await store.commit([store.deliveries.mark(id, { state: "inflight", attempts })]);
      const sent = await pass(site, station, delivery.channel, () => sends[delivery.kind](site, delivery));
      const subject = sent.subject ?? delivery.record ?? id;
      const [peer, ms, detail] = [delivery.destination, performance.now() - started, sent.answer ?? null];
      await store.commit([
        ...sent.changes,
        store.deliveries.mark(id, sent.ended ?? { state: "delivered", code: null, reason: null }),
        step(site, subject, station, sent.event, { peer, ms, attempt: attempts, detail }),
        ...resumed(delivery, undefined),
      ]);
    } catch (thrown) {
      if (!isStopped || !site.signal.aborted) await fail(delivery, thrown);
      return;
    }
    await after(delivery).catch((thrown: unknown) =>
      log("deliver.unfinished", { message: id, code: codeOf(thrown), reason: reasonOf(thrown) }, "error"),
    );
  };

  /** The destination took something, or refused it for its own sake: what waited for that goes on. */
  const resumed = (
    { destination: peer, channel, kind, record, id }: Delivery,
    code: ErrorCode | undefined,
  ): Change[] => {
    if (pauses.ended(peer, code, Date.now()) !== "is over") return [];
    log(`${stationOf[kind]}.resumed`, { channel, station: kind, message: record ?? id, peer });
    return [step(site, record ?? id, stationOf[kind], "resumed", { peer })];
  };

  /** The destination rejects us as a whole: one alarm, nothing parked, and a probe now and then. */
  const rejected = async (delivery: Delivery, thrown: unknown, began: boolean): Promise<void> => {
    const { id, kind, channel, destination: peer, record, attempts: attempt } = delivery;
    const [code, reason, station] = [codeOf(thrown), reasonOf(thrown), stationOf[kind]];
    const fields = { channel, station: kind, message: record ?? id, peer, code, reason, attempt };
    log(began ? `${station}.paused` : `${station}.deferred`, fields, began ? "error" : "warn");
    // After a restart the alarm is in the journal already.
    const steps =
      began && code !== delivery.code ? [step(site, record ?? id, station, "paused", { peer, code, attempt })] : [];
    await settle(id, [store.deliveries.mark(id, { state: "queued", code, reason, due: Date.now() }), ...steps]);
  };

  /** Whether a person decides about a message that was not answered. */
  const isHeld = ({ kind, destination }: Delivery): boolean =>
    kind === "message" && config.own.systems[destination]?.mllp?.ambiguous === "hold";

  const fail = async (delivery: Delivery, thrown: unknown): Promise<void> => {
    const { first, max, for: within } = config.delivery.retry;
    const [code, reason] = [codeOf(thrown), reasonOf(thrown)];
    if (isPausing(code)) {
      const began = pauses.ended(delivery.destination, code, Date.now()) === "began";
      return await rejected(delivery, thrown, began);
    }
    const goesOn = resumed(delivery, code);
    const isOver = Date.now() - Date.parse(delivery.createdAt) > within;
    const again = consequenceOf(code).retry && !isOver && !(code === "PEER_AMBIGUOUS" && isHeld(delivery));
    const pause = Math.min(max, first * 2 ** Math.min(delivery.attempts - 1, 30)) * (1 + Math.random() * jitter);
    const state = again ? (code === "PEER_AMBIGUOUS" ? "ambiguous" : "queued") : "parked";
    const { id, kind, channel, destination: peer, attempts: attemptNumber } = delivery;
    const fields = {
      channel,
      station: kind,
      message: delivery.record ?? id,
      peer,
      code,
      reason,
      attempt: attemptNumber,
    };
    log(again ? `${stationOf[kind]}.deferred` : `${stationOf[kind]}.parked`, fields, again ? "warn" : "error");
    // One step a change of mind, not one an attempt: a house that is down for a week is told once.
    const isNew = code !== delivery.code || !again;
    const told = { peer, code, attempt: attemptNumber };
    const steps = isNew
      ? [step(site, delivery.record ?? id, stationOf[kind], again ? "deferred" : "parked", told)]
      : [];
    await settle(id, [
      store.deliveries.mark(id, { state, code, reason, due: Date.now() + pause }),
      ...steps,
      ...goesOn,
    ]);
  };

  /** Unmarked it would stay on the wire until the next start: a full disk is waited for. */
  const settle = async (id: Id, changes: readonly Change[]): Promise<void> => {
    for (let isTold = false; ; isTold = true) {
      try {
        return await store.commit(changes);
      } catch (thrown) {
        const code = codeOf(thrown);
        if (!isTold) log("deliver.unmarked", { message: id, code }, "error");
        if (isStopped || code !== "STORE_FULL") return;
        await wait(unmarkedMs);
      }
    }
  };

  wake();
  return {
    wake,
    stop: async () => {
      isStopped = true;
      clearTimeout(timer);
      await Promise.all(under.values());
    },
  };
}
