/**
 * A queue between a socket that pushes and a consumer that pulls: says when to pause and when to go on. Octets are copied into
 * buffers that are used again, since each piece costs a turn of the whole pipeline and what a socket reads is memory of its own.
 */

import { openBuffers } from "../../memory.ts";
import type { HeldBudget } from "../connector.ts";

export type Flow = {
  /** Copies the octets. False: enough is waiting, pause the socket. */
  push(chunk: Uint8Array): boolean;
  end(): void;
  /** The consumer sees this error in place of the end. */
  fail(cause: Error): void;
  /** Nobody reads any more: what still comes is dropped. */
  discard(): void;
  /** Each piece is the reader's until it asks for the next one. */
  readonly body: AsyncIterable<Uint8Array>;
};

const pieceBytes = 256 * 1024;
const buffers = openBuffers(pieceBytes, 8);

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
  let full: Buffer[] = [];
  /** What is being filled, how far, and what the reader has. */
  let filling: Buffer | undefined;
  let filled = 0;
  let lent: Buffer | undefined;
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
  const takeBack = (): void => {
    if (lent) buffers.put(lent);
    lent = undefined;
  };
  const discard = (): void => {
    isDropped = true;
    // Never the end: what is cut off may not pass for whole.
    if (!isEnded) failure ??= new Error("the body was discarded before its end");
    takeBack();
    for (const each of filling ? [...full, filling] : full) buffers.put(each);
    full = [];
    [filling, filled] = [undefined, 0];
    taken(size);
  };
  /** Whole pieces; what is none yet only where no more comes before it is taken. */
  const shift = (): Uint8Array | undefined => {
    const whole = full.shift();
    const octets = whole ?? (isEnded || isPaused ? filling?.subarray(0, filled) : undefined);
    if (!octets) return undefined;
    lent = whole ?? filling;
    if (!whole) [filling, filled] = [undefined, 0];
    taken(octets.length);
    return octets;
  };
  // An iterator by hand: a generator would cost each piece several turns more.
  const next = async (): Promise<IteratorResult<Uint8Array, undefined>> => {
    takeBack();
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
      if (isDropped) return true;
      for (let rest = chunk; rest.length > 0; ) {
        filling ??= buffers.take();
        const some = rest.subarray(0, pieceBytes - filled);
        filling.set(some, filled);
        filled += some.length;
        rest = rest.subarray(some.length);
        if (filled < pieceBytes) continue;
        full.push(filling);
        [filling, filled] = [undefined, 0];
      }
      size += chunk.length;
      budget.take(chunk.length);
      isPaused ||= size >= highWater || budget.isSpent();
      if (full.length > 0 || isPaused) signal();
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
