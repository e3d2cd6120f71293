/**
 * Station `assemble`, its decisions: does this document travel now, wait, or need a person? Pure: time is an argument.
 * One waiting room a site; a document and its study find each other by study UID or accession number (decision 5).
 */
import type { Item } from "../store/store.ts";
import type { OutboundChannel } from "./config.ts";
import type { DocumentFacts } from "./validate.ts";

export type AssembleRules = NonNullable<OutboundChannel["assemble"]>;

export type Decision =
  | { readonly now: "wait"; readonly until: number }
  | { readonly now: "go"; readonly instances: readonly Item[] }
  | { readonly now: "hold"; readonly code: string; readonly reason: string };

/** What is known when a document is looked at: `instances` share a join with it; `patient` is the grade of a study's patient. */
export type Waiting = {
  readonly document: Item;
  readonly instances: readonly Item[];
  readonly rules: AssembleRules | undefined;
  readonly patient: "reject" | "hold" | "warn" | "skip";
};

/** Whether a waiting document goes, with which instances. */
export function decide({ document, instances, rules, patient }: Waiting, now: number): Decision {
  const facts = document.facts as DocumentFacts;
  if (!rules || !facts.refers) return { now: "go", instances: [] };
  const joined = instances.filter((instance) => belongs(document, instance));
  if (joined.length === 0) {
    const end = Date.parse(document.since) + rules.study.wait;
    if (now < end) return { now: "wait", until: end };
    if (rules.study.then === "proceed") return { now: "go", instances: [] };
    return { now: "hold", code: "STUDY_MISSING", reason: "the study this document refers to never came" };
  }
  const quiet = Math.max(...joined.map(({ since }) => Date.parse(since))) + rules.study.quiet;
  if (now < quiet) return { now: "wait", until: quiet };
  if ((patient === "hold" || patient === "reject") && joined.some((instance) => contradicts(document, instance))) {
    return {
      now: "hold",
      code: "PATIENT_MISMATCH",
      reason: "the study's PatientID is none of the document's patient ids",
    };
  }
  return { now: "go", instances: joined };
}

/**
 * Images of a study whose document has already gone: they follow as an addendum once they are quiet.
 * `late` are waiting instances, `sealed` the documents they belong to.
 */
export function decideLate(late: readonly Item[], rules: AssembleRules, now: number): Decision {
  if (rules.late === "hold")
    return { now: "hold", code: "STUDY_LATE", reason: "these images came after their document was sealed" };
  const quiet = Math.max(...late.map(({ since }) => Date.parse(since))) + rules.study.quiet;
  return now < quiet ? { now: "wait", until: quiet } : { now: "go", instances: late };
}

/** A shared study UID is enough; a shared accession number only with an equal patient id, since numbers are reused. */
export function belongs(document: Item, instance: Item): boolean {
  const shared = instance.joins.filter((join) => document.joins.includes(join));
  return shared.some((join) => join.startsWith("study:") || samePatient(document, instance));
}

const samePatient = (document: Item, instance: Item): boolean =>
  instance.patients.some((token) => document.patients.includes(token));

const contradicts = (document: Item, instance: Item): boolean =>
  instance.patients.length > 0 && !samePatient(document, instance);
