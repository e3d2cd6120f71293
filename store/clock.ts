/** Time and chance as an argument: the system's own, or those of a simulation. */
export type Clock = {
  /** Milliseconds since 1970. */
  now(): number;
  /** Milliseconds since some moment, which nobody can set. */
  steady(): number;
  /** Runs `work` once after so many milliseconds; the function it returns calls it off. */
  after(ms: number, work: () => void): () => void;
  /** Runs `work` in the next turn of the loop. */
  soon(work: () => void): void;
  /** From 0 to below 1. */
  random(): number;
};

export const systemClock: Clock = {
  now: () => Date.now(),
  steady: () => performance.now(),
  after: (ms, work) => {
    const timer = setTimeout(work, ms);
    return () => clearTimeout(timer);
  },
  soon: (work) => void setImmediate(work),
  random: () => Math.random(),
};
