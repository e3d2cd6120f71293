/** Which alerts begin and which end: pure, of what is open, what is found, and the time. Nothing in it is of a patient. */
import { expirySteps } from "./expiry.ts";

export type AlertKind =
  | "queue-age"
  | "held-age"
  | "emergency"
  | "silent-feed"
  | "certificate"
  | "clock"
  | "revocation"
  | "disk"
  | "reconciliation"
  | "journal-gap";

/** Something a person has to know of; the same `key` is the same alert until it is over. */
export type Alert = { readonly key: string; readonly kind: AlertKind; readonly subject: string; readonly says: string };

/** Ages in milliseconds, times in milliseconds since 1970. */
export type AlertFacts = {
  /** The oldest delivery that is due, by destination. */
  readonly queues: readonly { readonly destination: string; readonly since: number }[];
  /** The oldest thing that waits for a person: held, or parked. */
  readonly heldSince: number | null;
  /** The oldest access in an emergency that nobody has reviewed. */
  readonly emergencySince: number | null;
  /** When each feed sent last, and in which of the hours before that (newest first) it sent anything. */
  readonly feeds: readonly { readonly system: string; readonly last: number; readonly hours: readonly boolean[] }[];
  /** Days that each certificate is good for; below zero it is over. */
  readonly certificates: readonly { readonly name: string; readonly days: number; readonly isRevoked: boolean }[];
  /** What is wrong with the clock: it is behind the journal, or not believed. */
  readonly clock?: string | undefined;
  /** Revocation lists that should have been renewed: `over` once nothing is opened any more. */
  readonly lists?: "late" | "over" | undefined;
  readonly disk: { readonly freeBytes: number; readonly minFreeBytes: number; readonly isOutOfFiles?: boolean };
  /** Undefined until it was looked at. */
  readonly isBalanced: boolean | undefined;
  /** Acknowledged, and not in the index. */
  readonly missing: number;
};
export type AlertLimits = {
  readonly queueAge: number;
  readonly heldAge: number;
  readonly emergencyAge: number;
  readonly silent: boolean;
};

const [minuteMs, hourMs] = [60_000, 3_600_000];
/** What is usual is not known of a feed that began today. */
const minHours = 24;

/** What hovers about its limit would begin and end with each look: what is open ends this part of the limit within it. */
const [agePart, roomPart] = [1 / 5, 1 / 10];

type Open = readonly Pick<Alert, "key">[];

/** What holds now, beside what is open. */
export const alertsIn = (facts: AlertFacts, limits: AlertLimits, now: number, open: Open = []): readonly Alert[] => [
  ...holding(facts, limits, now, open),
];

function* holding(facts: AlertFacts, limits: AlertLimits, now: number, open: Open): Generator<Alert> {
  const within = (key: string, part: number): number => (open.some((each) => each.key === key) ? part : 0);
  const { queues, heldSince, emergencySince, feeds, certificates, clock, lists, disk, isBalanced, missing } = facts;
  const isOver = (since: number | null, limit: number): since is number => since !== null && now - since > limit;
  const waits = (since: number): string => minutes(now - since);
  for (const { destination, since } of queues)
    if (isOver(since, limits.queueAge - within(`queue-age ${destination}`, limits.queueAge * agePart)))
      yield alert("queue-age", destination, `the oldest delivery to ${destination} waits for ${waits(since)}`);
  if (isOver(heldSince, limits.heldAge))
    yield alert("held-age", "", `something waits for a person for ${waits(heldSince)}; semrs journal list --held`);
  if (isOver(emergencySince, limits.emergencyAge)) {
    const says = `an access in an emergency has not been reviewed for ${waits(emergencySince)}; semrs emergency list`;
    yield alert("emergency", "", says);
  }
  for (const { system, last, hours } of feeds) {
    if (!limits.silent || now - last <= usualSilence(hours)) continue;
    const says = `${system} has sent nothing for ${waits(last)}, longer than in the week before`;
    yield alert("silent-feed", system, says);
  }
  // Each step is an alert of its own: what was told at 60 days is told again at 30.
  for (const { name, days, isRevoked } of certificates) {
    if (isRevoked) {
      const says = `the certificate ${name} was revoked: partners refuse what it stands for; make a new key and have it issued`;
      yield alert("certificate", `${name} revoked`, says);
    }
    for (const step of [...expirySteps, 0].filter((each) => days < each)) {
      const when = step === 0 ? "has expired" : `expires in less than ${step} d`;
      yield alert("certificate", `${name} ${step}`, `the certificate ${name} ${when}; have it issued anew`);
    }
  }
  if (clock !== undefined) yield alert("clock", "", clock);
  if (lists) yield alert("revocation", "late", "a revocation list should have been renewed; see trust.crls");
  if (lists === "over")
    yield alert("revocation", "over", "a revocation list has ended: nothing is opened any more; see trust.crls");
  if (disk.freeBytes < disk.minFreeBytes + within("disk", disk.minFreeBytes * roomPart)) {
    const says = "the disk reserve is reached: nothing is accepted, what is queued still drains; free space";
    yield alert("disk", "", says);
  }
  if (disk.isOutOfFiles)
    yield alert("disk", "inodes", "the disk has no inodes left: nothing above 64 KiB is accepted; remove files");
  if (isBalanced === false) {
    const says = "something accepted is nowhere to be found, or could not be looked for; semrs status";
    yield alert("reconciliation", "", says);
  }
  if (missing > 0)
    yield alert("journal-gap", "", `${missing} acknowledged and not in the index; semrs verify, then a backup`);
}

const alert = (kind: AlertKind, subject: string, says: string): Alert => ({
  key: `${kind} ${subject}`.trim(),
  kind,
  subject,
  says,
});
const minutes = (ms: number): string =>
  ms < 2 * minuteMs
    ? `${Math.floor(ms / 1000)} s`
    : ms < 2 * hourMs
      ? `${Math.floor(ms / minuteMs)} min`
      : `${Math.floor(ms / hourMs)} h`;

/**
 * How long a feed may be silent: two hours longer than the longest run of hours without anything in the week before. A feed
 * of working hours is not missed at night.
 */
export function usualSilence(hours: readonly boolean[]): number {
  const first = hours.lastIndexOf(true);
  if (first < minHours - 1) return Number.POSITIVE_INFINITY;
  let [longest, run] = [0, 0];
  for (const isBusy of hours.slice(0, first + 1)) {
    run = isBusy ? 0 : run + 1;
    longest = Math.max(longest, run);
  }
  return (longest + 2) * hourMs;
}

export type Turns = { readonly raised: readonly Alert[]; readonly resolved: readonly Alert[] };

/** Each alert is raised when it was not open, and resolved when it holds no more. */
export function turnsOf(open: readonly Alert[], holding: readonly Alert[]): Turns {
  const [before, now] = [new Set(open.map(({ key }) => key)), new Set(holding.map(({ key }) => key))];
  return {
    raised: holding.filter(({ key }) => !before.has(key)),
    resolved: open.filter(({ key }) => !now.has(key)),
  };
}
