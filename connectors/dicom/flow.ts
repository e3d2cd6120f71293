/** A queue between a socket that pushes and a consumer that pulls: says when to pause and when to go on. */

import type { HeldBudget } from "../connector.ts";

export type Flow = {
  /** False: enough is waiting, pause the socket. */
  push(chunk: Uint8Array): boolean;
  end(): void;
  /** The consumer sees this error in place of the end. */
  fail(cause: Error): void;
  /** Nobody reads any more: what still comes is dropped. */
  discard(): void;
  readonly body: AsyncIterable<Uint8Array>;
};

const smallBytes = 16 * 1024;

/** Octets that may wait over all flows of a listener; beyond it each may hold one chunk. */
export type Budget = { take(octets: number): void; readonly isSpent: () => boolean };

/** A budget of `octets`, within that of the site. */
export function openBudget(octets: number, site?: HeldBudget): Budget {
  let taken = 0;
  // What waits is drained in any case, and then asks again.
  const share = site?.open(() => undefined);
  return {
    take: (count) => {
      taken += count;
      share?.hold(taken);
    },
    isSpent: () => taken >= octets || (share?.isOver() ?? false),
  };
}

/** `resume` is called when less than half of `highWater` octets wait; of a spent budget, when none do. */
export function openFlow(highWater: number, resume: () => void, budget: Budget): Flow {
  let waiting: Uint8Array[] = [];
  let size = 0;
  let isPaused = false;
  let isEnded = false;
  let isDropped = false;
  let failure: Error | undefined;
  let wake: (() => void) | undefined;
  const signal = (): void => {
    wake?.();
    wake = undefined;
  };
  const taken = (octets: number): void => {
    size -= octets;
    budget.take(-octets);
    if (!isPaused || size > (budget.isSpent() ? 0 : highWater / 2)) return;
    isPaused = false;
    resume();
  };
  const discard = (): void => {
    isDropped = true;
    // Never the end: what is cut off may not pass for whole.
    if (!isEnded) failure ??= new Error("the body was discarded before its end");
    waiting = [];
    taken(size);
  };
  /** What came meanwhile in small pieces is put together, since each chunk costs a turn of the whole pipeline. */
  const shift = (): Uint8Array | undefined => {
    const isSmall = waiting.length > 1 && size / waiting.length < smallBytes;
    const chunk = isSmall ? Buffer.concat(waiting, size) : waiting.shift();
    if (isSmall) waiting = [];
    if (chunk) taken(chunk.length);
    return chunk;
  };
  // An iterator by hand: a generator would cost each chunk several turns more.
  const next = async (): Promise<IteratorResult<Uint8Array, undefined>> => {
    for (;;) {
      if (failure) {
        discard();
        throw failure;
      }
      const value = shift();
      if (value) return { value, done: false };
      if (isEnded) return { value: undefined, done: true };
      await new Promise<void>((resolve) => (wake = resolve));
    }
  };
  const body: AsyncIterableIterator<Uint8Array, undefined> = {
    next,
    return: async () => {
      discard();
      return { value: undefined, done: true };
    },
    [Symbol.asyncIterator]: () => body,
  };
  return {
    push: (chunk) => {
      if (isDropped || chunk.length === 0) return true;
      waiting.push(chunk);
      size += chunk.length;
      budget.take(chunk.length);
      signal();
      isPaused ||= size >= highWater || budget.isSpent();
      return !isPaused;
    },
    end: () => {
      isEnded = true;
      signal();
    },
    fail: (cause) => {
      failure ??= cause;
      signal();
    },
    discard,
    body,
  };
}
