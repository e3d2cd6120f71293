/** Rows that wait, and what is decided about them at a time: for the decisions of the waiting room without a store. */
import { type AssembleRules, decide, decideLate, type Waiting } from "../../pipeline/assemble.ts";
import type { Item, StudyRow } from "../../store/store.ts";

export const start = 1_700_000_000_000;
export const at = (ms: number): string => new Date(start + ms).toISOString();
export const rules: AssembleRules = {
  by: ["studyUid", "accessionNumber"],
  study: {
    when: "referenced",
    quiet: 60_000,
    open: 600_000,
    pullAfter: 300_000,
    wait: 3_600_000,
    // biome-ignore lint/suspicious/noThenProperty: a value of the configuration, never a function
    then: "proceed",
  },
  // biome-ignore lint/suspicious/noThenProperty: a value of the configuration, never a function
  document: { wait: 1, then: "hold" },
  ignoreAccessionNumbers: [],
  late: "addendum",
};
export const study = (change: Partial<AssembleRules["study"]>): Partial<AssembleRules> => ({
  study: { ...rules.study, ...change },
});
export const item = (change: Partial<Item>): Item => ({
  id: "d",
  kind: "document",
  arrival: "a",
  channel: "imaging",
  key: "k",
  digest: "x",
  blob: "b",
  joins: ["study:1.2"],
  patients: ["p"],
  state: "waiting",
  code: null,
  reason: null,
  since: at(0),
  record: null,
  facts: { refers: true },
  ...change,
});
export const image = (change: Partial<Item> = {}, day = "20260115"): Item =>
  item({
    id: "i",
    kind: "instance",
    facts: { studyInstanceUid: change.joins?.[0]?.slice(6) ?? "1.2", studyDate: day },
    ...change,
  });
export const row = (change: Partial<StudyRow> = {}): StudyRow => ({
  uid: "1.2",
  expected: null,
  askedAt: null,
  pulls: 0,
  completeAt: null,
  ...change,
});
export type More = {
  readonly document?: Item;
  readonly rules?: Partial<AssembleRules>;
  readonly heard?: Waiting["heard"];
  readonly studies?: readonly StudyRow[];
  readonly patient?: Waiting["patient"];
};
const waiting = (instances: readonly Item[], more: More): Waiting => ({
  document: more.document ?? item({}),
  instances,
  rules: { ...rules, ...more.rules },
  patient: more.patient ?? "hold",
  heard: more.heard ?? { isOpen: false, at: start },
  studies: more.studies ?? [row()],
});
export const decided = (instances: readonly Item[], ms: number, more: More = {}) =>
  decide(waiting(instances, more), start + ms);
export const late = (instances: readonly Item[], ms: number, more: More = {}) =>
  decideLate(waiting(instances, { document: item({ state: "sealed" }), ...more }), start + ms);
export const until = (ms: number) => ({ now: "wait", until: start + ms });
