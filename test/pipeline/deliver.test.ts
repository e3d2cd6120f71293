/** What a message to a HIS is called, and what it tells of its document. */
import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { controlIdOf, correctedBy } from "../../pipeline/deliver.ts";
import { idSource } from "../../store/rows.ts";

test("no two messages have one control id, though they were made in one millisecond or the clock went back", () => {
  let at = Date.parse("2026-01-02T03:04:05Z");
  const newId = idSource(() => new Date(at), randomBytes);
  const ids = Array.from({ length: 1_000 }, () => newId());
  at -= 60_000;
  ids.push(...Array.from({ length: 1_000 }, () => newId()));
  const controlIds = ids.map((id) => controlIdOf({ id }));
  expect(new Set(controlIds).size).toBe(ids.length);
  // HL7 v2.5.1 2.15.9.10: ST of 20.
  expect(controlIds.every((each) => each.length === 20)).toBe(true);
});

test("a document that transforms one and replaces another is told of as the replacement that it is", () => {
  const xfrm = { type: "XFRM", uniqueId: "1.2^original" } as const;
  const rplc = { type: "RPLC", uniqueId: "1.2^before" } as const;
  expect(correctedBy({ relatedDocuments: [xfrm, rplc] })).toEqual(rplc);
  expect(correctedBy({ relatedDocuments: [xfrm] })).toBeUndefined();
});
