/** Accession numbers: what a document is joined to by them, and when they lead nowhere certain. */
import { describe, expect, test } from "vitest";
import { joinedTo } from "../../pipeline/joins.ts";
import type { Item } from "../../store/store.ts";
import { decided, image, item, late, until } from "./waiting.ts";

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
