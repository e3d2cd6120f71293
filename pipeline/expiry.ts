/** How soon something ends, in the steps at which a person is told. */

/** Days before the end at which it is told again. */
export const expirySteps = [60, 30, 7, 1] as const;
const dayMs = 24 * 3600 * 1000;

export type Expiry = {
  /** Whole days that are left; negative once it is over. */
  readonly days: number;
  /** The step that has been passed; 0 once it is over, undefined while there is time. */
  readonly step: number | undefined;
};

/** How far off an end is. */
export function expiryOf(end: Date, now: Date): Expiry {
  const days = Math.floor((end.getTime() - now.getTime()) / dayMs);
  if (end <= now) return { days, step: 0 };
  return { days, step: expirySteps.filter((step) => days < step).at(-1) };
}
