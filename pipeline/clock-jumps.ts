/** A wall clock that somebody sets, by years perhaps: by how much, as a clock tells that only goes on. Decided from what is given. */

/** What both clocks show at a moment, milliseconds. */
export type Moment = { readonly wall: number; readonly steady: number };

export type Jumps = {
  /** By how many milliseconds the wall clock was set since the last look: 0 for what is no more than drift. */
  look(now: Moment): number;
  /** Whether it is not where it would be had nobody set it since the start. */
  isOff(now: Moment): boolean;
  /**
   * How long ago the wall clock showed `made`: the last time it did; where it passed that by when it was set, since then; 0 where it
   * never has, which a clock before the start did.
   */
  age(made: number, now: Moment): number;
};

/** Less is drift, or a clock that is slewed. */
const leastMs = 60_000;
/** Times that the clock was set; older ones are forgotten. */
const maxSettings = 100;

/** From `start` on. */
export function openJumps(start: Moment): Jumps {
  /** Whenever it was set, newest first; before the start it went on as it does after. */
  let settings: readonly Moment[] = [start];
  return {
    look: (now) => {
      const [last = start] = settings;
      const by = now.wall - last.wall - (now.steady - last.steady);
      if (Math.abs(by) < leastMs) return 0;
      settings = [now, ...settings].slice(0, maxSettings);
      return by;
    },
    isOff: ({ wall, steady }) => Math.abs(wall - start.wall - (steady - start.steady)) >= leastMs,
    age: (made, now) => {
      let end = now;
      let passedBy: number | undefined;
      for (const [n, from] of settings.entries()) {
        const isOldest = n === settings.length - 1;
        const shown = from.wall + end.steady - from.steady;
        if (made <= shown && (made >= from.wall || isOldest)) return now.steady - from.steady - (made - from.wall);
        if (made > shown && made < end.wall) passedBy ??= now.steady - end.steady;
        end = from;
      }
      return passedBy ?? 0;
    },
  };
}

/** When something was made, as the clock would have shown it that is set as this one is now; as it is said where it is still set so. */
export function openShown(wall = (): number => Date.now(), steady = (): number => performance.now()) {
  const moment = (): Moment => ({ wall: wall(), steady: steady() });
  const jumps = openJumps(moment());
  let set = Number.NEGATIVE_INFINITY;
  return (made: number): number => {
    const now = moment();
    if (jumps.look(now) !== 0) set = now.wall;
    return made >= set ? made : Math.round(now.wall - jumps.age(made, now));
  };
}
