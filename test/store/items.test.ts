/** What waits and belongs together, in the database of this version and of the one before. */
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, test } from "vitest";
import type { Item } from "../../store/store.ts";
import { folder, freshStore, open, store } from "./fresh.ts";
import { asBefore, beforeTwoLevels } from "./rows.ts";

freshStore();

describe("formats of the database", () => {
  const waiting = (kind: "document" | "instance", joins: readonly string[]): Item => ({
    id: store.newId(),
    kind,
    arrival: "a",
    channel: "c",
    key: `${kind} ${joins}`,
    digest: "d",
    blob: "b",
    joins,
    patients: [],
    state: "waiting",
    code: null,
    reason: null,
    since: new Date().toISOString(),
    record: null,
    facts: {},
  });

  test("joins of the second format are found by kind after the start of this version", async () => {
    const [document, first, second] = [
      waiting("document", ["study:1", "study:2"]),
      waiting("instance", ["study:1", "accession:x"]),
      waiting("instance", ["study:2"]),
    ];
    await store.commit([document, first, second].flatMap((item) => store.items.add(item)));
    await store.close();
    const db = new DatabaseSync(join(folder, "semrs.db"));
    const undo = `${beforeTwoLevels}
      CREATE TABLE before (value TEXT NOT NULL, item TEXT NOT NULL, PRIMARY KEY (value, item)) STRICT, WITHOUT ROWID;
      INSERT INTO before SELECT value, item FROM item_join;
      DROP TABLE item_join; ALTER TABLE before RENAME TO item_join;
      DROP TABLE study; DROP TABLE rejection; DROP INDEX delivery_fetch`;
    db.exec(asBefore(2, undo));
    db.close();
    await open();
    const ids = (kind: "document" | "instance", joins: readonly string[]) =>
      store.items.joined(kind, joins).map(({ id }) => id);
    expect(ids("document", ["study:1", "study:2"])).toEqual([document.id]);
    expect(ids("instance", ["study:1", "accession:x"])).toEqual([first.id]);
    expect(ids("instance", document.joins)).toEqual([first.id, second.id]);
  });

  test("what is said of a study adds up, and matters are counted by study, channel and code", async () => {
    await store.commit([
      store.studies.mark("1.2", { expected: 3, askedAt: 5 }),
      store.studies.mark("1.2", { pulls: 1 }),
    ]);
    expect(store.studies.find("1.2")).toEqual({ uid: "1.2", expected: 3, askedAt: 5, pulls: 1, completeAt: null });
    expect(store.studies.find("1.3")).toEqual({
      uid: "1.3",
      expected: null,
      askedAt: null,
      pulls: 0,
      completeAt: null,
    });
    const items = [1, 2, 3].map((n) => ({ ...waiting("instance", ["study:9"]), key: String(n) }));
    const held = { ...waiting("instance", ["study:9"]), key: "4", code: "STUDY_LATE" };
    const documents = [1, 2].map((n) => ({ ...waiting("document", ["study:9"]), key: String(n) }));
    await store.commit([...items, held, ...documents].flatMap((item) => store.items.add(item)));
    const matters = store.items.matters({ state: "waiting", limit: 10 });
    expect(matters.map(({ item, count }) => `${item.kind} ${item.code} ${count}`).sort()).toEqual([
      "document null 1",
      "document null 1",
      "instance STUDY_LATE 1",
      "instance null 3",
    ]);
    expect(matters.find(({ count }) => count === 3)?.item.id).toBe(items[0]?.id);
  });
});
