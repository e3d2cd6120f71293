/** Images that come after their document went: what follows it, when, and to which document. */
import { describe, expect, test } from "vitest";
import { appendsTo } from "../../pipeline/joins.ts";
import { image, item, late, type More, row, start, until } from "./waiting.ts";

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
      "corrected ones that a person let go were decided about",
      [sent, image({ code: "REPLACES" })],
      60_000,
      { rules: { late: "hold" } },
      { now: "go" },
    ],
    [
      "… and are held for their patient all the same",
      [sent, image({ code: "REPLACES", patients: ["q"] })],
      60_000,
      { rules: { late: "hold" } },
      { now: "hold", code: "PATIENT_MISMATCH", items: [{ id: "i" }] },
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
