/**
 * Which time is believed where something would be removed for its age, which cannot be taken back: that of the clock, unless it is
 * further ahead than the time that has passed allows. Then only what has passed counts, until it is set right or a person says that it is.
 */
import type { Moment } from "./clock-jumps.ts";
import { type Site, step } from "./site.ts";

export type Belief = {
  /** Milliseconds since 1970: what was older by this time may go. */
  readonly time: number;
  /** The clock is ahead of it. */
  readonly isDoubted: boolean;
  /** To be kept for the next process; undefined while what is kept is good enough. */
  readonly keep: number | undefined;
};
/** `until`: up to when it was believed before, which is what was to be kept, or what a person has said since. */
export type Believe = (now: Moment, until: number | undefined) => Belief;

const dayMs = 86_400_000;
/** A house may have been off for so long: nobody knows how long it was. */
const offMs = 7 * dayMs;
/** Of one that runs it is known how much time has passed: its clock is set by less than this. */
const setMs = dayMs;
const keptEveryMs = 3_600_000;

/** From the start of a process on; looked at as long as it runs. */
export function openBelief(): Believe {
  let from: Moment & { readonly allowedMs: number } = { wall: 0, steady: 0, allowedMs: 0 };
  let known: number | undefined;
  let isFirst = true;
  return (now, until) => {
    if (isFirst || until !== known) from = { wall: until ?? now.wall, steady: now.steady, allowedMs: offMs };
    isFirst = false;
    const passed = from.wall + now.steady - from.steady;
    const ahead = now.wall - passed;
    const isDoubted = ahead > from.allowedMs;
    if (!isDoubted && ahead >= 0 && from.allowedMs > setMs) from = { ...now, allowedMs: setMs };
    const time = Math.round(isDoubted ? passed : now.wall);
    const keep = until === undefined || time - until >= keptEveryMs ? time : undefined;
    known = keep ?? until;
    return { time, isDoubted, keep };
  };
}

/** What is to be done about a clock that is doubted. */
export const saysDoubt = (wall: number, { time }: Belief): string =>
  `the clock is ${Math.floor((wall - time) / dayMs)} d ahead of the time that has passed as far as this house knows: what is removed for its age is what is too old by ${new Date(time).toISOString()}; set it, or say that it is right: semrs clock confirm`;

/** A person says that the clock is right now, whatever was written by one that was not. */
export async function confirmClock(site: Site, reason: string): Promise<{ readonly at: string }> {
  const { store, now, log } = site;
  const at = now();
  await store.commit([
    store.believed.put(at.getTime()),
    // The journal's last entry is of now, too: what was written while it was ahead stops nothing any more (`checkClock`).
    step(site, store.newId(), "admin", "confirmed", { detail: reason }),
    ...store.audit.add({ event: "clock", reason }),
  ]);
  log("admin.clock", { reason: `the clock is right: ${reason}` }, "warn");
  return { at: at.toISOString() };
}
