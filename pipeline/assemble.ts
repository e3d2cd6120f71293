/**
 * Station `assemble`, its decisions: does this document travel now, wait, or need a person? Pure: time is an argument.
 * One waiting room a site; a document and its study find each other by study UID or accession number (`joins.ts`).
 */
import type { Item, StudyRow } from "../store/store.ts";
import type { Heard } from "./associations.ts";
import type { OutboundChannel } from "./config.ts";
import { contradicts, joinedTo, studiesOf } from "./joins.ts";
import type { At, DocumentFacts } from "./validate.ts";

export type AssembleRules = NonNullable<OutboundChannel["assemble"]>;

/** What told that a study is complete. */
export type Closing = "quiet" | "count" | "commitment";

export type Decision =
  | { readonly now: "wait"; readonly until: number }
  | { readonly now: "go"; readonly instances: readonly Item[]; readonly closing: Closing }
  | { readonly now: "hold"; readonly code: string; readonly reason: string; readonly items: readonly Item[] }
  /** Ask the PACS how many instances these studies have, or to send them; then decide again. */
  | { readonly now: "count" | "pull"; readonly studies: readonly string[] };

/** A document with the instances that travel with it, or late instances that follow a document that has gone (`appends`). */
export type Assembled = At<
  "assembled",
  {
    readonly channel: OutboundChannel;
    readonly document: Item;
    readonly instances: readonly Item[];
    readonly appends: boolean;
    /** What told that the study is complete. */
    readonly closing: Closing;
  }
>;

/** What is known when a document is looked at. */
export type Waiting = {
  readonly document: Item;
  /** They share a join with the document; for a document that has gone those that went with it too. */
  readonly instances: readonly Item[];
  readonly rules: AssembleRules | undefined;
  /** The grade of a study's patient. */
  readonly patient: "reject" | "hold" | "warn" | "skip";
  readonly heard: Heard;
  /** What was said of the studies of document and instances. */
  readonly studies: readonly StudyRow[];
};

/** A PACS is asked for one study's count at most this often. */
const askEveryMs = 5_000;
/** The pause before the PACS is asked again to send a study doubles up to this often. */
const maxDoublings = 16;

/** What came later than it is now: the clock was ahead. */
export const aheadOf = ({ document, instances }: Waiting, now: number): readonly Item[] =>
  [document, ...instances].filter(({ since }) => Date.parse(since) > now);

/** The same with every time as `shown` says it: a clock that is set meanwhile makes nothing that waits any older. */
export const waitedBy = (waiting: Waiting, shown: (at: number) => number): Waiting => {
  const since = (item: Item): Item => ({ ...item, since: new Date(shown(Date.parse(item.since))).toISOString() });
  const told = (at: number | null): number | null => (at === null ? null : shown(at));
  return {
    ...waiting,
    document: since(waiting.document),
    instances: waiting.instances.map(since),
    studies: waiting.studies.map((row) => ({ ...row, askedAt: told(row.askedAt), completeAt: told(row.completeAt) })),
  };
};

/** Whether a waiting document goes, with which instances. */
export function decide(waiting: Waiting, now: number): Decision {
  const { document, instances, rules } = waiting;
  const facts = document.facts as DocumentFacts;
  if (!rules || !facts.refers) return { now: "go", instances: [], closing: "quiet" };
  const joined = joinedTo(document, instances);
  if (joined.instances.length === 0) return waitForStudy(waiting, rules, now);
  const closed = close(joined.instances, waiting, rules, now);
  if (closed.now !== "closed") return closed;
  if (joined.isAmbiguous) return { ...ambiguous, items: [document] };
  if (document.code !== letGo && ofAnother(joined.instances, waiting).length > 0)
    return { ...anotherPatient, items: [document] };
  return { now: "go", instances: joined.instances, closing: closed.by };
}

/** Images of a study whose document has already gone: they follow as one addendum once they are quiet. */
export function decideLate(waiting: Waiting, now: number): Decision | undefined {
  const { document, instances, rules } = waiting;
  const joined = joinedTo(document, instances, ({ state }) => state === "sealed");
  const late = joined.instances.filter(({ state }) => state === "waiting");
  if (!rules || late.length === 0) return undefined;
  const undecided = late.filter(({ code }) => code !== letGo);
  // That what it replaces has gone was known to who let a corrected instance go.
  const surprising = undecided.filter(({ code }) => code !== replaces);
  if (rules.late === "hold" && surprising.length > 0) return { ...tooLate, items: surprising };
  const closed = close(late, waiting, rules, now);
  if (closed.now !== "closed") return closed;
  if (joined.isAmbiguous) return { ...ambiguous, items: late };
  const others = ofAnother(undecided, waiting);
  if (others.length > 0) return { ...anotherPatient, items: others };
  return { now: "go", instances: late, closing: closed.by };
}

/** The code of what a person let go on in spite of what it was held for. */
export const letGo = "RELEASED";
/** The code of a corrected instance that a person let go while its predecessor has left. */
export const replaces = "REPLACES";

const tooLate = {
  now: "hold",
  code: "STUDY_LATE",
  reason: "these images came after their document was sealed",
} as const;
const ambiguous = {
  now: "hold",
  code: "ACCESSION_AMBIGUOUS",
  reason: "its accession number leads to studies of different dates, and no study UID says which is meant",
} as const;
/** What a study is held for whose patient is not the document's. */
export const anotherPatient = {
  now: "hold",
  code: "PATIENT_MISMATCH",
  reason: "the study's PatientID is none of the document's patient ids",
} as const;

const ofAnother = (instances: readonly Item[], { document, patient }: Waiting): readonly Item[] =>
  patient === "hold" || patient === "reject" ? instances.filter((instance) => contradicts(document, instance)) : [];

/** Nothing of the study has come. */
function waitForStudy({ document, studies }: Waiting, rules: AssembleRules, now: number): Decision {
  const since = Date.parse(document.since);
  const end = since + rules.study.wait;
  if (now >= end) {
    if (rules.study.then === "proceed") return { now: "go", instances: [], closing: "quiet" };
    const reason = "the study this document refers to never came";
    return { now: "hold", code: "STUDY_MISSING", reason, items: [document] };
  }
  const wanted = studiesOf([document]);
  if (!rules.study.pull || wanted.length === 0) return { now: "wait", until: end };
  const pulls = studies.filter(({ uid }) => wanted.includes(uid)).reduce((most, row) => Math.max(most, row.pulls), 0);
  const due = since + rules.study.pullAfter * 2 ** Math.min(pulls, maxDoublings);
  return now >= due ? { now: "pull", studies: wanted } : { now: "wait", until: Math.min(end, due) };
}

type Closed = { readonly now: "closed"; readonly by: Closing };

/**
 * A study is complete when it has been quiet, which begins anew with every instance and whenever an association that sent
 * to it ends; sooner when all are here that its sender wants committed, or that its PACS counts.
 */
function close(
  joined: readonly Item[],
  { document, instances, heard, studies }: Waiting,
  rules: AssembleRules,
  now: number,
): Closed | Extract<Decision, { now: "wait" | "count" | "pull" }> {
  const last = joined.reduce((latest, { since }) => Math.max(latest, Date.parse(since)), 0);
  const uids = studiesOf([document, ...joined]);
  const rows = studies.filter(({ uid }) => uids.includes(uid));
  const arrived = rows.filter(({ uid }) => joined.some(({ joins }) => joins.includes(`study:${uid}`)));
  if (arrived.length > 0 && arrived.every(({ completeAt }) => (completeAt ?? 0) >= last))
    return { now: "closed", by: "commitment" };
  const here = countByStudy(instances);
  const gone = countByStudy(instances.filter(({ state }) => state === "sealed"));
  // A count that what has gone already satisfies was taken before the late ones were there.
  const isCounted = ({ uid, expected }: StudyRow): boolean =>
    expected !== null && expected > (gone.get(uid) ?? 0) && (here.get(uid) ?? 0) >= expected;
  if (arrived.length > 0 && rows.every(isCounted)) return { now: "closed", by: "count" };
  if (heard.isOpen && now < last + rules.study.open) return { now: "wait", until: last + rules.study.open };
  const from = Math.max(last, heard.at);
  const quiet = from + rules.study.quiet;
  if (now >= quiet) return { now: "closed", by: "quiet" };
  const unasked = arrived.filter(({ askedAt }) => (askedAt ?? 0) < from);
  if (!rules.study.expect || unasked.length === 0) return { now: "wait", until: quiet };
  const due = unasked.reduce((latest, { askedAt }) => Math.max(latest, (askedAt ?? 0) + askEveryMs), 0);
  return now >= due
    ? { now: "count", studies: unasked.map(({ uid }) => uid) }
    : { now: "wait", until: Math.min(quiet, due) };
}

function countByStudy(instances: readonly Item[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const uid of instances.flatMap((instance) => studiesOf([instance]))) counts.set(uid, (counts.get(uid) ?? 0) + 1);
  return counts;
}
