/**
 * Intake goes first: what follows an acknowledgement waits while messages are being taken in, never longer than `longestMs`, and
 * takes its turns of the event loop one by one (decision 24).
 */
import { performance } from "node:perf_hooks";

export type Pace = {
  /** A message is being taken in; the function says that it has its answer. */
  begin(): () => void;
  /** Resolves for one caller a turn of the event loop, in the order they asked: between two of them is whatever else is ready. */
  turn(): Promise<void>;
  /** Resolves, in a turn, once intake leaves time over, or `longestMs` after `since` (what `now()` says): then on equal terms. */
  quiet(since: number): Promise<void>;
  /** Resolves after so many milliseconds. */
  rest(ms: number): Promise<unknown>;
  /** A monotonic clock, milliseconds. */
  now(): number;
};

/** Intake leaves time over when in the last `windowMs` a message was being taken in for less than this share of it. */
const spare = 0.5;
const windowMs = 20;
/** How long intake has the processors for itself; what waits longer is worked off beside it. */
export const longestMs = 2_000;

/** The pace of one site. `pause` resolves after so many milliseconds. */
export function openPace(
  now: () => number = () => performance.now(),
  pause: (ms: number) => Promise<unknown> = (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
): Pace {
  let underWay = 0;
  let began = 0;
  /** Milliseconds in which a message was being taken in, since ever. */
  let taking = 0;
  let looked = { at: now(), taking: 0 };
  let isSpare = true;
  const takingNow = (): number => taking + (underWay > 0 ? now() - began : 0);
  const leavesTime = (): boolean => {
    const passed = now() - looked.at;
    if (passed < windowMs) return isSpare;
    const total = takingNow();
    isSpare = total - looked.taking < spare * passed;
    looked = { at: now(), taking: total };
    return isSpare;
  };

  const line: (() => void)[] = [];
  const serve = (): void => {
    line.shift()?.();
    if (line.length > 0) setImmediate(serve);
  };
  const turn = (): Promise<void> =>
    new Promise((resolve) => {
      if (line.push(resolve) === 1) setImmediate(serve);
    });

  return {
    now,
    turn,
    rest: pause,
    begin: () => {
      if (underWay === 0) began = now();
      underWay += 1;
      let isOver = false;
      return () => {
        if (isOver) return;
        isOver = true;
        underWay -= 1;
        if (underWay === 0) taking += now() - began;
      };
    },
    quiet: async (since) => {
      // To the end of its own wait, and no longer: who waits has one of few places.
      for (let left = longestMs; left > 0 && !leavesTime(); ) {
        left = since + longestMs - now();
        if (left > 0) await pause(Math.min(windowMs, left));
      }
      await turn();
    },
  };
}
