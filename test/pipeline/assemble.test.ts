/** The decisions of the waiting room, on rows alone: what joins, when a study is complete, what is late, replaced or rejected. */
import { describe, expect, test } from "vitest";
import { type AssembleRules, decide, decideLate, type Waiting } from "../../pipeline/assemble.ts";
import { appendsTo, joinedTo } from "../../pipeline/joins.ts";
import { judge, rejections } from "../../pipeline/rejection-note.ts";
import { replace } from "../../pipeline/replacement.ts";
import type { Item, StudyRow } from "../../store/store.ts";

const start = 1_700_000_000_000;
const at = (ms: number): string => new Date(start + ms).toISOString();
const rules: AssembleRules = {
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
const study = (change: Partial<AssembleRules["study"]>): Partial<AssembleRules> => ({
  study: { ...rules.study, ...change },
});
const item = (change: Partial<Item>): Item => ({
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
const image = (change: Partial<Item> = {}, day = "20260115"): Item =>
  item({
    id: "i",
    kind: "instance",
    facts: { studyInstanceUid: change.joins?.[0]?.slice(6) ?? "1.2", studyDate: day },
    ...change,
  });
const row = (change: Partial<StudyRow> = {}): StudyRow => ({
  uid: "1.2",
  expected: null,
  askedAt: null,
  pulls: 0,
  completeAt: null,
  ...change,
});
type More = {
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
const decided = (instances: readonly Item[], ms: number, more: More = {}) =>
  decide(waiting(instances, more), start + ms);
const late = (instances: readonly Item[], ms: number, more: More = {}) =>
  decideLate(waiting(instances, { document: item({ state: "sealed" }), ...more }), start + ms);
const until = (ms: number) => ({ now: "wait", until: start + ms });

describe("whether a document goes", () => {
  test("one that refers to nothing goes at once", () => {
    expect(decided([], 0, { document: item({ facts: { refers: false } }) })).toMatchObject({
      now: "go",
      instances: [],
    });
  });
  test.each([
    ["is waited for", 1000, {}, until(3_600_000)],
    ["is done without in the end", 3_600_000, {}, { now: "go", instances: [] }],
    [
      "is a person's business, if so configured",
      3_600_000,
      // biome-ignore lint/suspicious/noThenProperty: a value of the configuration, never a function
      study({ then: "hold" }),
      { now: "hold", code: "STUDY_MISSING" },
    ],
  ] as const)("a study that has not come %s", (_, ms, change, expected) => {
    expect(decided([], ms, { rules: change })).toMatchObject(expected);
  });
  test.each([
    ["at first", 0, 0, until(300_000)],
    ["after pullAfter", 300_000, 0, { now: "pull", studies: ["1.2"] }],
    ["not again at once", 300_000, 1, until(600_000)],
    ["again after twice as long", 600_000, 1, { now: "pull", studies: ["1.2"] }],
    ["not later than the end of waiting", 2_400_001, 4, until(3_600_000)],
  ] as const)("a study that has not come is pulled %s", (_, ms, pulls, expected) => {
    expect(decided([], ms, { rules: study({ pull: "pacs" }), studies: [row({ pulls })] })).toMatchObject(expected);
  });
  test("a document without a study UID cannot be pulled for", () => {
    const document = item({ joins: ["accession:x"] });
    expect(decided([], 300_000, { rules: study({ pull: "pacs" }), document })).toEqual(until(3_600_000));
  });
  test.each([
    ["holds", {}, [image({ patients: ["q"] })], { now: "hold", code: "PATIENT_MISMATCH", items: [{ id: "d" }] }],
    ["lets pass without an id", {}, [image({ patients: [] })], { now: "go" }],
    ["lets pass by grade", { patient: "warn" }, [image({ patients: ["q"] })], { now: "go" }],
    [
      "lets pass what a person released",
      { document: item({ code: "RELEASED" }) },
      [image({ patients: ["q"] })],
      { now: "go" },
    ],
  ] as const)("a study of another patient: %s", (_, more, images, expected) => {
    expect(decided(images, 90_000, more)).toMatchObject(expected);
  });
});

describe("when a study is complete", () => {
  const two = [image(), image({ id: "j", since: at(30_000) })];
  const asks = study({ expect: "pacs" });
  test.each([
    ["quiet since its last instance: not yet", 89_999, {}, until(90_000)],
    ["quiet since its last instance", 90_000, {}, { now: "go", instances: two, closing: "quiet" }],
    [
      "quiet begins with the site: what was sent while it was down is not known",
      90_000,
      { heard: { isOpen: false, at: start + 80_000 } },
      until(140_000),
    ],
    ["an association that sent to it is open", 90_000, { heard: { isOpen: true, at: start } }, until(630_000)],
    ["but not for ever", 630_000, { heard: { isOpen: true, at: start } }, { now: "go", closing: "quiet" }],
    ["its end begins the quiet anew", 90_000, { heard: { isOpen: false, at: start + 50_000 } }, until(110_000)],
    [
      "the sender listed all of it",
      31_000,
      { studies: [row({ completeAt: start + 30_500 })] },
      { now: "go", closing: "commitment" },
    ],
    [
      "even while its association is open",
      31_000,
      { heard: { isOpen: true, at: start }, studies: [row({ completeAt: start + 30_500 })] },
      { now: "go", closing: "commitment" },
    ],
    ["but something came after the list", 31_000, { studies: [row({ completeAt: start + 29_000 })] }, until(90_000)],
    [
      "the PACS counts as many",
      31_000,
      { rules: asks, studies: [row({ expected: 2, askedAt: start })] },
      { now: "go", closing: "count" },
    ],
    [
      "the PACS counts more",
      31_000,
      { rules: asks, studies: [row({ expected: 3, askedAt: start + 30_500 })] },
      until(90_000),
    ],
    [
      "the PACS counts more, and quiet is over",
      90_000,
      { rules: asks, studies: [row({ expected: 3, askedAt: start + 30_500 })] },
      { now: "go", closing: "quiet" },
    ],
    [
      "the PACS is asked when something has come and no association is open",
      31_000,
      { rules: asks },
      { now: "count", studies: ["1.2"] },
    ],
    [
      "the PACS is asked again after more has come, not at once",
      31_000,
      { rules: asks, studies: [row({ expected: 3, askedAt: start + 29_000 })] },
      until(34_000),
    ],
    [
      "a PACS that knows nothing of it",
      31_000,
      { rules: asks, studies: [row({ expected: 0, askedAt: start + 30_500 })] },
      until(90_000),
    ],
  ] as const)("%s", (_, ms, more, expected) => {
    expect(decided(two, ms, more as More)).toMatchObject(expected);
  });
  test("of two studies that a document refers to, both must be counted", () => {
    const document = item({ joins: ["study:1.2", "study:1.3"] });
    const studies = [
      row({ expected: 2, askedAt: start + 30_000 }),
      row({ uid: "1.3", expected: 1, askedAt: start + 30_000 }),
    ];
    expect(decided(two, 31_000, { document, rules: asks, studies })).toEqual(until(90_000));
    const all = [...two, image({ id: "k", joins: ["study:1.3"] })];
    expect(decided(all, 31_000, { document, rules: asks, studies })).toMatchObject({ now: "go", instances: all });
  });
});

describe("images that come after their document went", () => {
  const sent = image({ id: "s", key: "s", state: "sealed" });
  test.each([
    ["nothing is late", [sent], 0, {}, undefined],
    ["they wait to be quiet", [sent, image()], 0, {}, until(60_000)],
    [
      "then they follow together, without what has gone",
      [sent, image(), image({ id: "j" })],
      60_000,
      {},
      { now: "go", instances: [{ id: "i" }, { id: "j" }] },
    ],
    ["an open association keeps them", [sent, image()], 60_000, { heard: { isOpen: true, at: start } }, until(600_000)],
    [
      "a count from before they came says nothing",
      [sent, image()],
      1000,
      { studies: [row({ expected: 1, askedAt: start - 1000 })] },
      until(60_000),
    ],
    [
      "a person decides, if so configured",
      [sent, image()],
      0,
      { rules: { late: "hold" } },
      { now: "hold", code: "STUDY_LATE", items: [{ id: "i" }] },
    ],
    [
      "what a person released follows",
      [sent, image({ code: "RELEASED" })],
      60_000,
      { rules: { late: "hold" } },
      { now: "go" },
    ],
    [
      "those of another patient are held alone",
      [sent, image(), image({ id: "j", patients: ["q"] })],
      60_000,
      {},
      { now: "hold", code: "PATIENT_MISMATCH", items: [{ id: "j" }] },
    ],
  ] as const)("%s", (_, images, ms, more, expected) => {
    const decision = late(images, ms, more as More);
    if (expected) expect(decision).toMatchObject(expected);
    else expect(decision).toBeUndefined();
  });
  test("they follow the document that names their study, else the newest", () => {
    const [first, second, third] = [item({ id: "1" }), item({ id: "2" }), item({ id: "3", joins: ["accession:x"] })];
    const instance = image({ joins: ["study:1.2", "accession:x"] });
    expect(appendsTo([first, second, third], instance)).toBe(second);
    expect(appendsTo([third], instance)).toBe(third);
    expect(appendsTo([item({ joins: ["study:9"] })], instance)).toBeUndefined();
  });
});

describe("accession numbers", () => {
  const byNumber = (change: Partial<Item>, uid: string, day: string): Item =>
    image({ id: uid, joins: [`study:${uid}`, "accession:x"], ...change }, day);
  const document = item({ joins: ["accession:x"] });
  test.each([
    ["an equal patient", [byNumber({}, "1", "20260115")], ["1"], false],
    ["another patient", [byNumber({ patients: ["q"] }, "1", "20260115")], [], false],
    ["no patient id", [byNumber({ patients: [] }, "1", "20260115")], [], false],
    ["two studies of one day", [byNumber({}, "1", "20260115"), byNumber({}, "2", "20260115")], ["1", "2"], false],
    ["two studies of two days", [byNumber({}, "1", "20260115"), byNumber({}, "2", "20250115")], ["1", "2"], true],
  ] as const)("a number joins %s", (_, images, ids, isAmbiguous) => {
    const joined = joinedTo(document, images);
    expect(joined.instances.map(({ id }) => id)).toEqual(ids);
    expect(joined.isAmbiguous).toBe(isAmbiguous);
  });
  test("a number that leads to two days holds the document", () => {
    const images = [byNumber({}, "1", "20260115"), byNumber({}, "2", "20250115")];
    expect(decided(images, 60_000, { document })).toMatchObject({ now: "hold", code: "ACCESSION_AMBIGUOUS" });
  });
  test("where the document names a study, its number adds those of the same day alone", () => {
    const named = item({ joins: ["study:1", "accession:x"] });
    const images = [byNumber({}, "1", "20260115"), byNumber({}, "2", "20260115"), byNumber({}, "3", "20250115")];
    expect(joinedTo(named, images).instances.map(({ id }) => id)).toEqual(["1", "2"]);
  });
  test("a number used again a year later brings nothing after the document that went", () => {
    const sent = byNumber({ state: "sealed" }, "1", "20250115");
    expect(
      late([sent, byNumber({}, "2", "20260115")], 60_000, { document: { ...document, state: "sealed" } }),
    ).toBeUndefined();
    expect(
      late([sent, byNumber({}, "3", "20250115")], 60_000, { document: { ...document, state: "sealed" } }),
    ).toMatchObject({
      now: "go",
      instances: [{ id: "3" }],
    });
  });
  test("a channel that joins by number alone waits to be quiet too", () => {
    const images = [image({ joins: ["accession:x"] })];
    expect(decided(images, 0, { document, studies: [] })).toEqual(until(60_000));
  });
});

describe("corrected instances", () => {
  const kept = (state: Item["state"], id = "1") => image({ id, key: "1.9", state });
  test.each([
    ["what waits", [kept("waiting")], ["1"], false],
    ["what has left stays, and is followed", [kept("sealed")], [], true],
    ["what was dropped is not looked at", [kept("discarded")], [], false],
    ["an older correction", [kept("sealed"), kept("held", "2")], ["2"], true],
  ] as const)("replace %s", (_, before, ends, follows) => {
    const held = [...before.filter(({ state }) => state === "held"), kept("held", "9")];
    const replacement = replace(held, () => [...before, kept("held", "9")]);
    expect(replacement.goes).toEqual([{ item: kept("held", "9"), follows }]);
    expect(replacement.ends.map(({ id }) => id)).toEqual(ends);
  });
});

describe("rejection notes", () => {
  test.each([
    ["113001", true, true],
    ["113037", true, true],
    ["113038", true, true],
    ["113039", false, false],
  ] as const)("%s", (code, stopsLater, travels) => {
    expect(rejections[code]).toMatchObject({ stopsLater, travels });
  });
  test("end what waits or is held, tell of what has left, and touch no other study", () => {
    const note = {
      title: { code: "113001", scheme: "DCM" },
      references: ["1", "2", "3", "4"].map((sopInstanceUid) => ({ studyInstanceUid: "1.2", sopInstanceUid })),
    };
    const named = [
      image({ id: "a", key: "1" }),
      image({ id: "b", key: "2", state: "held" }),
      image({ id: "c", key: "3", state: "sealed" }),
      image({ id: "d", key: "4", joins: ["study:7.7"] }),
      image({ id: "e", key: "1", state: "discarded" }),
    ];
    const { stops, gone } = judge(named, note);
    expect(stops.map(({ id }) => id)).toEqual(["a", "b"]);
    expect(gone.map(({ id }) => id)).toEqual(["c"]);
  });
});
