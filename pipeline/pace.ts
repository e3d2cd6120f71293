/** What has been answered already waits while messages are being accepted: a burst is taken in first and worked off behind it. */
import { type EventLoopUtilization, performance } from "node:perf_hooks";

export type Pace = {
  /** A message is being accepted; the function says that it has its answer. */
  begin(): () => void;
  /**
   * Resolves, for one caller after the other, when nothing has been accepted for a moment or acceptance leaves time over; at
   * the latest `maxWaitMs` after the one before: it never stands still.
   */
  quiet(): Promise<void>;
};

/** What a pace looks at: a monotonic clock, milliseconds, and how much of the time since it was last asked was work, 0 to 1. */
export type Watch = { now(): number; load(): number };

const momentMs = 50;
const lookMs = 10;
const maxWaitMs = 100;
const spareLoad = 0.6;

/** The pace of one site. */
export function openPace({ now, load }: Watch = openWatch()): Pace {
  let busy = 0;
  let last = Number.NEGATIVE_INFINITY;
  let line: Promise<void> = Promise.resolve();
  const wait = async (): Promise<void> => {
    const end = now() + maxWaitMs;
    load();
    while ((busy > 0 || now() - last < momentMs) && now() < end) {
      await new Promise((resolve) => setTimeout(resolve, lookMs));
      if (load() < spareLoad) return;
    }
  };
  return {
    begin: () => {
      busy += 1;
      let isOver = false;
      return () => {
        if (isOver) return;
        isOver = true;
        busy -= 1;
        last = now();
      };
    },
    quiet: () => {
      line = line.then(wait);
      return line;
    },
  };
}

function openWatch(): Watch {
  let before: EventLoopUtilization | undefined;
  return {
    now: () => performance.now(),
    load: () => {
      const after = performance.eventLoopUtilization();
      const { utilization } = performance.eventLoopUtilization(after, before);
      before = after;
      return utilization;
    },
  };
}
