/** A queue between a socket that pushes and a consumer that pulls: says when to pause and when to go on. */

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

/** A budget of `octets`. */
export function openBudget(octets: number): Budget {
  let taken = 0;
  return {
    take: (count) => {
      taken += count;
    },
    isSpent: () => taken >= octets,
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
  const empty = (): void => {
    budget.take(-size);
    waiting = [];
    size = 0;
  };
  const release = (): void => {
    if (!isPaused || size > highWater / 2) return;
    isPaused = false;
    resume();
  };
  async function* read(): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        if (failure) throw failure;
        if (waiting.length > 0) {
          // All that came meanwhile: what is small is put together, since each chunk costs a turn of the whole pipeline.
          const chunks = size / waiting.length < smallBytes ? [Buffer.concat(waiting, size)] : waiting;
          empty();
          release();
          yield* chunks;
        } else if (isEnded) return;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
    } finally {
      isDropped = true;
      empty();
      release();
    }
  }
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
    discard: () => {
      isDropped = true;
      empty();
      release();
    },
    body: read(),
  };
}
