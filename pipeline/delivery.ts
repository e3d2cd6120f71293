/** The one delivery loop of a site: begins what is due, of each way as many as its destination takes, until it is told not to. */
import { codeOf } from "../errors.ts";
import { type Clock, systemClock } from "../store/clock.ts";
import type { Delivery, Except, Way } from "../store/store.ts";
import { openAttempts } from "./attempts.ts";
import { openJumps } from "./clock-jumps.ts";
import { longestWait } from "./delivery-decisions.ts";
import { openPauses } from "./pauses.ts";
import { placesOf, refillAt } from "./places.ts";
import type { Alone, SendTogether, Together } from "./sends.ts";
import type { Site } from "./site.ts";
import { shutAt } from "./windows.ts";

export type { Send, SendTogether, Sent } from "./sends.ts";
export type DeliveryLoop = { wake: Site["wake"]; stop(): Promise<void> };

const nameOf = ({ kind, destination }: Way): string => `${kind} ${destination}`;

/** Deliveries in one request: each keeps the receipt that names them all. */
const maxTogether = 32;
/** Requests that are not full follow one another by this much. */
const gatherMs = 100;
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
  let callOff = (): void => undefined;
  let isStopped = false;
  let isQueued = false;

  /** What is not begun now stays queued. */
  const isHalted = ({ destination, channel }: Delivery): boolean =>
    site.stopped.paused("system").includes(destination) ||
    site.stopped.paused("channel").includes(channel) ||
    shutAt(config, clock.now()).some((shut) => shut.destination === destination);
  const attempts = openAttempts(site, { sends, clock, turn, pauses, jumps, isStopped: () => isStopped, isHalted });

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
      if (!send) begin(destination, [delivery], attempts.one(delivery));
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
    const sent = attempts.together(all, send).finally(() => {
      const left = all.length < maxTogether ? started + gatherMs - clock.steady() : 0;
      if (left > 0) clock.after(left, leave);
      else gathering.delete(nameOf(way));
    });
    begin(way.destination, all, sent);
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
