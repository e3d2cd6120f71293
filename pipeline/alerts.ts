/**
 * Alerts: what is found is compared with what is open, both turns are committed with what each target has to be told, and each
 * target is told in order until it has taken it. A target that is down holds up nothing but its own notices.
 */
import { codeOf, reasonOf } from "../errors.ts";
import type { Change, Id } from "../store/store.ts";
import { type Alert, type AlertFacts, alertsIn, turnsOf } from "./alert-decisions.ts";
import { type Target, type Told, targetsOf } from "./alert-targets.ts";
import { openJumps } from "./clock-jumps.ts";
import { certificates, clock } from "./readiness.ts";
import type { Reconciler } from "./reconcile.ts";
import type { Site } from "./site.ts";
import { waitingSince } from "./windows.ts";

export type Alerting = { begin(): void; stop(): Promise<void> };

const [firstPauseMs, maxPauseMs] = [1_000, 600_000];
const tellMs = 30_000;
/** What nobody has taken for so long is in the log, and is told no more. */
const giveUpMs = 7 * 24 * 3_600_000;
const [hourMs, weekHours] = [3_600_000, 7 * 24];

/** Looks as often as the configuration says; without `alerts` nothing is looked at. `doubt`: why the clock is not believed. */
export function openAlerting(
  site: Site,
  reconciler: Reconciler,
  doubt = (): string | undefined => undefined,
): Alerting {
  const { store, log } = site;
  const wanted = site.config.own.alerts;
  if (!wanted) return { begin: () => undefined, stop: async () => undefined };
  const targets = targetsOf(site, wanted);
  const stopping = new AbortController();
  const telling = new Map<string, Promise<void>>();
  /** Told, while the disk was too full to say so. */
  const unmarked = new Set<Id>();
  const moment = () => ({ wall: site.now().getTime(), steady: performance.now() });
  const jumps = openJumps(moment());
  /** Whether targets that are new have been told of what is open. */
  let isMet = false;
  let looking: Promise<void> | undefined;
  let timer: NodeJS.Timeout | undefined;

  const look = async (): Promise<void> => {
    const now = site.now();
    jumps.look(moment());
    const facts = await factsOf(site, reconciler, doubt());
    const open = store.alerts.open() as readonly Alert[];
    const holding = alertsIn(facts, wanted, now.getTime(), open);
    const { raised, resolved } = turnsOf(open, holding);
    // One of which nothing is known has heard of no begin; before anything was known of any, all had.
    const names = isMet ? undefined : store.alerts.targets();
    const fresh = names ? targets.filter(({ name }) => !names.includes(name)) : [];
    const known = targets.filter((target) => !fresh.includes(target));
    const goingOn = open.filter((alert) => !resolved.includes(alert));
    const changes = [
      ...(isMet ? [] : store.alerts.know(targets.map(({ name }) => name))),
      ...goingOn.flatMap((alert) => noticesOf("raised", alert, now, fresh)),
      ...raised.flatMap((alert) => [
        store.alerts.raise(alert, now.toISOString()),
        ...noticesOf("raised", alert, now, targets),
      ]),
      ...resolved.flatMap((alert) => [store.alerts.resolve(alert.key), ...noticesOf("resolved", alert, now, known)]),
    ];
    if (changes.length > 0) await store.commit(changes);
    isMet = true;
    for (const { kind, subject, says } of raised)
      log("alert.raised", { station: kind, peer: subject, reason: says }, "error");
    for (const { kind, subject } of resolved) log("alert.resolved", { station: kind, peer: subject });
    for (const target of targets)
      if (!telling.has(target.name))
        telling.set(
          target.name,
          tellAll(target)
            .catch((thrown: unknown) =>
              log("alert.unmarked", { peer: target.peer, code: codeOf(thrown), reason: reasonOf(thrown) }, "error"),
            )
            .finally(() => telling.delete(target.name)),
        );
  };
  const noticesOf = (
    state: Told["state"],
    { kind, subject, says }: Alert,
    now: Date,
    to: readonly Target[],
  ): readonly Change[] =>
    to.map(({ name }) => {
      const id = store.newId();
      const told: Told = { id, site: site.config.site, at: now.toISOString(), state, kind, subject, says };
      return store.alerts.tell({ id, target: name, body: JSON.stringify(told), attempts: 0, due: now.getTime() });
    });

  /** In order, as long as the target takes what is due. */
  const tellAll = async ({ name, peer, tell }: Target): Promise<void> => {
    for (;;) {
      const next = store.alerts.first().find(({ target }) => target === name);
      // No notice waits for longer than the longest pause, or it was put off by a clock that was wrong.
      const wait = (next?.due ?? 0) - site.now().getTime();
      if (!next || (wait > 0 && wait <= maxPauseMs) || stopping.signal.aborted) return;
      try {
        // What is under way at a stop may finish: cut off, it would be told twice.
        if (!unmarked.has(next.id)) await tell(next.body, AbortSignal.any([site.signal, AbortSignal.timeout(tellMs)]));
      } catch (thrown) {
        if (site.signal.aborted) return;
        if (jumps.age(Date.parse((JSON.parse(next.body) as Told).at), moment()) > giveUpMs) {
          await store.commit([store.alerts.told(next.id)]);
          continue;
        }
        const attempt = next.attempts + 1;
        if (attempt === 1) log("alert.deferred", { peer, code: codeOf(thrown), reason: reasonOf(thrown) }, "warn");
        const pause = Math.min(maxPauseMs, firstPauseMs * 2 ** Math.min(attempt - 1, 20));
        return await store.commit([store.alerts.again(next.id, attempt, site.now().getTime() + pause)]);
      }
      unmarked.add(next.id);
      await store.commit([store.alerts.told(next.id)]);
      unmarked.delete(next.id);
    }
  };

  const watch = (): void => {
    looking = look()
      .catch((thrown: unknown) => log("alert.unseen", { code: codeOf(thrown), reason: reasonOf(thrown) }, "error"))
      .finally(() => {
        if (!stopping.signal.aborted) timer = setTimeout(watch, wanted.every).unref();
      });
  };
  return {
    begin: watch,
    stop: async () => {
      stopping.abort();
      clearTimeout(timer);
      await looking;
      await Promise.allSettled(telling.values());
    },
  };
}

/** What is known now; feeds are the systems that listen here. */
async function factsOf(site: Site, reconciler: Reconciler, doubt: string | undefined): Promise<AlertFacts> {
  const { store, config, now } = site;
  const at = now().getTime();
  const watched = certificates(site);
  const stateOfLists = watched.find(({ check }) => check === "revocation lists")?.state;
  const feeds = Object.entries(config.own.systems)
    .filter(([, { mllp, dicom, directory }]) => mllp?.listen || dicom?.listen || directory)
    .flatMap(([system]) => {
      const last = store.alerts.lastOf(system);
      if (last === undefined) return [];
      // Nothing is silent within the hour.
      const hours = Array.from({ length: at - last < hourMs ? 0 : weekHours }, (_, n) =>
        store.alerts.hasSent(system, last - (n + 1) * hourMs, last - n * hourMs + 1),
      );
      return [{ system, last, hours }];
    });
  return {
    queues: waitingSince(config, await store.scans.queues(at), at),
    heldSince: store.alerts.heldSince(),
    emergencySince: store.emergencies.waiting().since,
    feeds,
    clock: clock(site, doubt)[0]?.says,
    lists: stateOfLists && (stateOfLists === "fail" ? "over" : "late"),
    certificates: watched.flatMap(({ check, days, isRevoked = false }) =>
      days === undefined ? [] : [{ name: check.replace(/^certificate /, ""), days, isRevoked }],
    ),
    disk: store.reserve.now(),
    isBalanced: reconciler.last()?.holds,
    missing: store.missing.length,
  };
}
