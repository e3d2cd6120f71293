/**
 * Destinations that reject us as a whole, or that nobody reaches: they are sent nothing but one delivery at a time as a
 * probe, ever more seldom, until one is taken. A queue of a hundred thousand is then tried once, not a hundred thousand times,
 * and goes at once when the destination is back. No other destination notices.
 */
import type { ErrorCode } from "../errors.ts";

/** Failures that concern every delivery to a destination and that only its administrator can end. */
const pausing: ReadonlySet<ErrorCode> = new Set(["AE_TITLE_UNKNOWN"]);
/** Failures that do not say whether the destination would take something now. */
const silent: ReadonlySet<ErrorCode> = new Set([
  "PEER_UNREACHABLE",
  "PEER_BUSY",
  "CERTIFICATE_INVALID",
  "REVOCATION_STALE",
  "STOPPING",
]);

/** Not reached: so many in a row, without one that was, pause the destination, too. */
const unreached: ReadonlySet<ErrorCode> = new Set(["PEER_UNREACHABLE"]);
const maxUnreached = 8;
/** Longest pause of one that is not reached: it may be back any moment. */
const maxUnreachedMs = 30_000;

/** Whether a failure pauses its destination by itself, and its delivery waits for that alone. */
export const isPausing = (code: ErrorCode): boolean => pausing.has(code);

export type Pauses = {
  /** How many deliveries may be under way to it: all, one where it is probed, none between probes. */
  limit(destination: string, all: number, now: number): number;
  /** Those between probes. */
  closed(now: number): readonly string[];
  /** When the next one of those between probes may be probed. */
  next(now: number): number | undefined;
  /** How a delivery ended, undefined for well: whether that began or ended a pause, or was one more failure within it. */
  ended(destination: string, code: ErrorCode | undefined, now: number): "began" | "goes on" | "is over" | undefined;
};

/** A pause between probes doubles from `first` to `max` milliseconds, as they are when it begins. */
export function openPauses(retry: () => { readonly first: number; readonly max: number }): Pauses {
  const paused = new Map<string, { due: number; pause: number }>();
  /** Failures in a row. */
  const failures = new Map<string, number>();
  return {
    limit: (destination, all, now) => {
      const pause = paused.get(destination);
      return pause === undefined ? all : pause.due <= now ? 1 : 0;
    },
    closed: (now) => [...paused].filter(([, { due }]) => due > now).map(([destination]) => destination),
    next: (now) =>
      [...paused.values()]
        .filter(({ due }) => due > now)
        .reduce<number | undefined>((least, { due }) => Math.min(least ?? due, due), undefined),
    ended: (destination, code, now) => {
      const known = paused.get(destination);
      const isUnreached = code !== undefined && unreached.has(code);
      const inARow = isUnreached ? (failures.get(destination) ?? 0) + 1 : 0;
      failures.set(destination, inARow);
      if (code !== undefined && (pausing.has(code) || (isUnreached && inARow >= maxUnreached))) {
        // Those that were under way when the pause began do not lengthen it.
        if (known && known.due > now) return "goes on";
        const { first, max: longest } = retry();
        const max = isUnreached ? Math.min(longest, maxUnreachedMs) : longest;
        const pause = known ? Math.min(max, known.pause * 2) : first;
        paused.set(destination, { due: now + pause, pause });
        return known ? "goes on" : "began";
      }
      if (!known) return undefined;
      if (code !== undefined && silent.has(code)) {
        paused.set(destination, { due: now + known.pause, pause: known.pause });
        return "goes on";
      }
      paused.delete(destination);
      return "is over";
    },
  };
}
