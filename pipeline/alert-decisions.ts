/** Which alerts begin and which end: pure, of what is open, what is found, and the time. Nothing in it is of a patient. */
export const alertKinds = [
  "queue-age",
  "held-age",
  "emergency",
  "silent-feed",
  "certificate",
  "revocation",
  "disk",
  "reconciliation",
  "journal-gap",
] as const;
export type AlertKind = (typeof alertKinds)[number];

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
  readonly certificates: readonly { readonly name: string; readonly days: number }[];
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
/** Days before the end at which it is told again. */
const expirySteps = [60, 30, 7, 1, 0] as const;
/** What is usual is not known of a feed that began today. */
const minHours = 24;

/** What holds now. */
export function alertsIn(facts: AlertFacts, limits: AlertLimits, now: number): readonly Alert[] {
  const { queues, heldSince, emergencySince, feeds, certificates, lists, disk, isBalanced, missing } = facts;
  return [
    ...queues
      .filter(({ since }) => now - since > limits.queueAge)
      .map(({ destination, since }) =>
        alert("queue-age", destination, `the oldest delivery to ${destination} waits for ${minutes(now - since)}`),
      ),
    ...(heldSince !== null && now - heldSince > limits.heldAge
      ? [
          alert(
            "held-age",
            "",
            `something waits for a person for ${minutes(now - heldSince)}; semrs journal list --held`,
          ),
        ]
      : []),
    ...(emergencySince !== null && now - emergencySince > limits.emergencyAge
      ? [
          alert(
            "emergency",
            "",
            `an access in an emergency has not been reviewed for ${minutes(now - emergencySince)}; semrs emergency list`,
          ),
        ]
      : []),
    ...feeds
      .filter(({ last, hours }) => limits.silent && now - last > usualSilence(hours))
      .map(({ system, last }) =>
        alert(
          "silent-feed",
          system,
          `${system} has sent nothing for ${minutes(now - last)}, longer than in the week before`,
        ),
      ),
    // Each step is an alert of its own: what was told at 60 days is told again at 30.
    ...certificates.flatMap(({ name, days }) =>
      expirySteps
        .filter((step) => days < step)
        .map((step) => {
          const when = step === 0 ? "has expired" : `expires in less than ${step} d`;
          return alert("certificate", `${name} ${step}`, `the certificate ${name} ${when}; have it issued anew`);
        }),
    ),
    ...(lists ? [alert("revocation", "late", "a revocation list should have been renewed; see trust.crls")] : []),
    ...(lists === "over"
      ? [alert("revocation", "over", "a revocation list has ended: nothing is opened any more; see trust.crls")]
      : []),
    ...(disk.freeBytes < disk.minFreeBytes
      ? [alert("disk", "", "the disk reserve is reached: nothing is accepted, what is queued still drains; free space")]
      : []),
    ...(disk.isOutOfFiles
      ? [alert("disk", "inodes", "the disk has no inodes left: nothing above 64 KiB is accepted; remove files")]
      : []),
    ...(isBalanced === false
      ? [
          alert(
            "reconciliation",
            "",
            "something accepted is nowhere to be found, or could not be looked for; semrs status",
          ),
        ]
      : []),
    ...(missing > 0
      ? [alert("journal-gap", "", `${missing} acknowledged and not in the index; semrs verify, then a backup`)]
      : []),
  ];
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
