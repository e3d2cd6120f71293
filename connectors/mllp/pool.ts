/** Connections to one system, kept open between deliveries: so many at once, closed after a rest, and all at the site's stop. */
import { Fault } from "../../errors.ts";
import type { Line } from "./line.ts";

export type Pool = {
  /** A connection for one user: one that rests, or a new one once fewer than `connections` are in use. STOPPING where it is closed meanwhile. */
  take(signal: AbortSignal): Promise<Line>;
  /** Back for the next user; `isSound: false` for one on which an answer may still be owed: never used again. */
  give(line: Line, isSound: boolean): void;
  /** What is in use is closed once it is given back. */
  close(): void;
};

/** A pool that opens connections with `open` and lets one rest for `keepMs`. */
export function openPool(
  open: (signal: AbortSignal) => Promise<Line>,
  { connections, keepMs }: { readonly connections: number; readonly keepMs: number },
): Pool {
  const resting = new Map<Line, NodeJS.Timeout>();
  const waiting: (() => void)[] = [];
  let used = 0;
  let isClosed = false;
  const drop = (line: Line): void => {
    clearTimeout(resting.get(line));
    resting.delete(line);
    line.close();
  };
  const leave = (): void => {
    used -= 1;
    waiting.shift()?.();
  };
  return {
    take: async (signal) => {
      while (used >= connections && !isClosed) await turn(waiting, signal);
      if (isClosed) {
        signal.throwIfAborted();
        throw new Fault("STOPPING", "how the system is reached was changed; it is sent as it is reached now");
      }
      used += 1;
      try {
        for (const [line, timer] of resting) {
          clearTimeout(timer);
          resting.delete(line);
          line.use();
          if (line.isOpen()) return line;
          line.close();
        }
        return await open(signal);
      } catch (thrown) {
        leave();
        throw thrown;
      }
    },
    give: (line, isSound) => {
      if (isSound && !isClosed && keepMs > 0 && line.isOpen()) {
        resting.set(line, setTimeout(() => drop(line), keepMs).unref());
        line.rest(() => drop(line));
      } else if (isSound) line.close();
      else line.cut();
      leave();
    },
    close: () => {
      isClosed = true;
      for (const line of [...resting.keys()]) drop(line);
      for (const next of waiting.splice(0)) next();
    },
  };
}

/** Resolves when somebody leaves; rejects, and gives the turn to the next, when the signal is aborted. */
async function turn(waiting: (() => void)[], signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const abort = (): void => {
    const at = waiting.indexOf(resolve);
    if (at >= 0) waiting.splice(at, 1);
    reject(signal.reason);
  };
  waiting.push(resolve);
  signal.addEventListener("abort", abort, { once: true });
  await promise.finally(() => signal.removeEventListener("abort", abort));
}

/** The pools of each site, which end with its signal. */
const pools = new WeakMap<AbortSignal, Map<string, Pool>>();

/** The pool of a system at a site: the same for the same settings. */
export function poolOf(site: AbortSignal, key: string, make: () => Pool): Pool {
  const ofSite = pools.get(site) ?? new Map<string, Pool>();
  if (!pools.has(site)) {
    pools.set(site, ofSite);
    site.addEventListener("abort", () => [...ofSite.values()].map((pool) => pool.close()), { once: true });
  }
  const known = ofSite.get(key);
  if (known) return known;
  const fresh = make();
  ofSite.set(key, fresh);
  return fresh;
}

/** Closes the pools of a site whose settings are no longer in use. */
export function closeOthers(site: AbortSignal, used: ReadonlySet<string>): void {
  const ofSite = pools.get(site) ?? new Map<string, Pool>();
  for (const [key, pool] of ofSite) {
    if (used.has(key)) continue;
    ofSite.delete(key);
    pool.close();
  }
}
