/** C-ECHO as health check of the systems that ask for it: a metric, a line in `/health/ready`, and the log when it changes. */
import { echo } from "../connectors/dicom/scu.ts";
import { codeOf, type ErrorCode, reasonOf } from "../errors.ts";
import { peerOf } from "./pull.ts";
import { msSince, type Site } from "./site.ts";

/** `up`, or the code of what is wrong; systems that were not asked yet are left out. */
export type Health = Readonly<Record<string, "up" | ErrorCode>>;
export type HealthChecks = { now(): Health; stop(): Promise<void> };

/** Asks each system again `echoEvery` after its last answer. */
export function openHealthChecks(site: Site): HealthChecks {
  const known = new Map<string, "up" | ErrorCode>();
  const timers = new Set<NodeJS.Timeout>();
  const running = new Set<Promise<void>>();
  const stopping = new AbortController();
  const context = { log: site.log, signal: AbortSignal.any([site.signal, stopping.signal]) };

  const ask = async (system: string): Promise<void> => {
    const started = performance.now();
    const [state, reason] = await Promise.resolve(system)
      .then((name) => peerOf(site, name))
      .then((peer) => echo(peer, context))
      .then(
        () => ["up", undefined] as const,
        (thrown: unknown) => [codeOf(thrown), reasonOf(thrown)] as const,
      );
    if (stopping.signal.aborted) return;
    const before = known.get(system);
    known.set(system, state);
    site.metrics.reached(system, state === "up");
    if (before === state || (before === undefined && state === "up")) return;
    const ms = msSince(started);
    if (state === "up") site.log("health.restored", { peer: system, ms });
    else site.log("health.lost", { peer: system, code: state, ...(reason ? { reason } : {}), ms }, "warn");
  };
  const watch = (system: string, everyMs: number): void => {
    const asking = ask(system).finally(() => {
      running.delete(asking);
      if (stopping.signal.aborted) return;
      const timer = setTimeout(() => {
        timers.delete(timer);
        watch(system, everyMs);
      }, everyMs);
      timers.add(timer);
    });
    running.add(asking);
  };
  for (const [name, { dicom }] of Object.entries(site.config.own.systems))
    if (dicom?.connect && dicom.echoEvery !== undefined) watch(name, dicom.echoEvery);
  return {
    now: () => Object.fromEntries(known),
    stop: async () => {
      stopping.abort();
      for (const timer of timers) clearTimeout(timer);
      await Promise.all(running);
    },
  };
}
