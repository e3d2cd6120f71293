/** What has been answered already waits while messages are being accepted: a burst is taken in first and worked off behind it. */

export type Pace = {
  /** A message is being accepted; the function says that it has its answer. */
  begin(): () => void;
  /** Resolves when nothing has been accepted for a moment, or `maxWaitMs` after the one before: it never stands still. */
  quiet(): Promise<void>;
};

/** Between an answer and the next message of a sender that waits for answers. */
const momentMs = 4;
const maxWaitMs = 100;

/** The pace of one site; `now` is a monotonic clock, milliseconds. */
export function openPace(now: () => number = () => performance.now()): Pace {
  let busy = 0;
  let last = Number.NEGATIVE_INFINITY;
  let line: Promise<void> = Promise.resolve();
  const wait = async (): Promise<void> => {
    const end = now() + maxWaitMs;
    while ((busy > 0 || now() - last < momentMs) && now() < end)
      await new Promise((resolve) => setTimeout(resolve, momentMs));
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
