/** Delivery windows: when a destination is sent to, by the clock on the wall of a time zone. Decided from what is given. */

/** From the first time of day to the second, over midnight where that is earlier; each HH:MM. */
export type Window = { readonly between: readonly [string, string]; readonly timeZone?: string | undefined };

/** A destination whose window is shut, and when it opens, in milliseconds since 1970. */
export type Shut = { readonly destination: string; readonly window: Zoned; readonly opens: number };
type Zoned = Window & { readonly timeZone: string };

type Windowed = {
  readonly timeZone: string;
  readonly partners: Readonly<Record<string, { readonly window?: Window | undefined }>>;
  readonly own: { readonly systems: Readonly<Record<string, { readonly window?: Window | undefined }>> };
};

const minuteMs = 60_000;
const dayMs = 24 * 60 * minuteMs;
/** Longer than any day with a change of the clock. */
const maxMinutes = 26 * 60;

/** Whether there is a time zone of this IANA name. */
export const isTimeZone = (name: string): boolean => {
  try {
    return clockOf(name) !== undefined;
  } catch {
    return false;
  }
};

/** The windows of a house that are shut at `now`: of its systems and of its partners. */
export function shutAt({ timeZone, own, partners }: Windowed, now: number): readonly Shut[] {
  return Object.entries({ ...partners, ...own.systems }).flatMap(([destination, { window }]) => {
    if (!window) return [];
    const zoned = { between: window.between, timeZone: window.timeZone ?? timeZone };
    const opens = opensAt(zoned, now);
    return opens === undefined ? [] : [{ destination, window: zoned, opens }];
  });
}

/** When a window that is shut at `now` opens; undefined while it is open. */
export function opensAt({ between, timeZone }: Zoned, now: number): number | undefined {
  const wall = clockOf(timeZone);
  const [from, to] = between.map(timeOf) as [number, number];
  const isOpen = (at: number): boolean => {
    const time = wall(at);
    return from < to ? from <= time && time < to : from <= time || time < to;
  };
  if (isOpen(now)) return undefined;
  const guess = now + modulo(from - wall(now), dayMs);
  if (wall(guess) === from) return guess;
  // The clock on the wall is changed before: a time may come twice that day, or not at all.
  const next = Math.ceil(now / minuteMs);
  const minute = Array.from({ length: maxMinutes }, (_, n) => (next + n) * minuteMs).find(isOpen);
  return minute ?? guess;
}

/** When a window that is open at `now` opened, but for a change of the clock since. */
function openedAt({ between, timeZone }: Zoned, now: number): number {
  return now - modulo(clockOf(timeZone)(now) - timeOf(between[0]), dayMs);
}

/** Since when each destination's oldest delivery could have gone; one whose window is shut has nothing that waits too long. */
export function waitingSince<Queue extends { readonly destination: string; readonly since: number }>(
  config: Windowed,
  queues: readonly Queue[],
  now: number,
): readonly Queue[] {
  const shut = new Set(shutAt(config, now).map(({ destination }) => destination));
  return queues.flatMap((queue) => {
    const window = config.own.systems[queue.destination]?.window ?? config.partners[queue.destination]?.window;
    if (!window) return [queue];
    if (shut.has(queue.destination)) return [];
    const opened = openedAt({ between: window.between, timeZone: window.timeZone ?? config.timeZone }, now);
    return [{ ...queue, since: Math.max(queue.since, opened) }];
  });
}

/** A line of a delivery says what it waits for. */
export function saysWindow<Line extends { readonly destination: string; readonly state: string }>(
  config: Windowed,
  lines: readonly Line[],
  now: number,
): readonly Line[] {
  const shut = new Map(shutAt(config, now).map((each) => [each.destination, each.opens]));
  return lines.map((line) => {
    const opens = shut.get(line.destination);
    if (opens === undefined || !["queued", "ambiguous"].includes(line.state)) return line;
    return { ...line, reason: `waits for its window, opens at ${new Date(opens).toISOString()}` };
  });
}

/** Time of day in milliseconds, of milliseconds since 1970. */
function clockOf(timeZone: string): (at: number) => number {
  const format = formats.get(timeZone) ?? formatOf(timeZone);
  return (at) => {
    const [hours = 0, minutes = 0, seconds = 0] = format.format(at).split(":").map(Number);
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + modulo(at, 1000);
  };
}

/** Each delivery looks at the clock, and to make a format takes longer than all else of that: one for each zone. */
const formats = new Map<string, Intl.DateTimeFormat>();
function formatOf(timeZone: string): Intl.DateTimeFormat {
  const format = new Intl.DateTimeFormat("en-GB", { timeZone, hourCycle: "h23", timeStyle: "medium" });
  formats.set(timeZone, format);
  return format;
}

const timeOf = (text: string): number => {
  const [hours = 0, minutes = 0] = text.split(":").map(Number);
  return (hours * 60 + minutes) * minuteMs;
};

const modulo = (value: number, by: number): number => ((value % by) + by) % by;
