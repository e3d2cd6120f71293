/** The decisions of the waiting room, on rows alone: whether a document goes, and when a study is complete. */
import { describe, expect, test } from "vitest";
import { at, decided, image, item, type More, row, start, study, until } from "./waiting.ts";

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
