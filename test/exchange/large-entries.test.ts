/** Entries that say as much as they may: they keep nobody from the others of their patient. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { tokenOf } from "../../exchange/patients.ts";
import { answerQuery } from "../../exchange/queries.ts";
import { maxCommandBytes, readCommand, writeCommand } from "../../formats/command.ts";
import type { Found } from "../../formats/query.ts";
import { openStore } from "../../store/index.ts";
import type { Store } from "../../store/store.ts";
import { documentOf, enter } from "./indexed.ts";

let store: Store;
beforeAll(async () => {
  const folder = mkdtempSync(join(tmpdir(), "semrs-large-entries-"));
  store = await openStore({ folder, key: Buffer.alloc(32, 5), now: () => new Date() });
});
afterAll(() => store.close());

type Asked = Readonly<Record<string, unknown>>;

/** All pages of an answer, each of which whoever asks is able to read. */
function pages(asked: Asked): readonly Found[] {
  const found: Found[] = [];
  for (let cursor: string | null | undefined; cursor !== null; cursor = found.at(-1)?.next) {
    const command = { command: "query", purposeOfUse: "TREAT", ...asked, ...(cursor ? { cursor } : {}) };
    const page = answerQuery(store, "hospital-b", readCommand("query", Buffer.from(JSON.stringify(command))));
    expect(writeCommand<"found">(page).length).toBeLessThan(maxCommandBytes);
    found.push(page);
  }
  return found;
}
const namesOf = (found: readonly Found[]): readonly string[] =>
  found.flatMap(({ entries }) => entries.map(({ entry }) => entry.uniqueId.slice(6)));

const numbers = (count: number): readonly number[] => Array.from({ length: count }, (_, at) => at);

test("a page ends before it is more than whoever asks may take, and goes on", async () => {
  const patientIds = [{ root: "1.2", extension: "9" }];
  await enter(store, [documentOf("small", { patientIds })]);
  const long = "\u9673".repeat(900);
  for (const set of numbers(4))
    await enter(
      store,
      numbers(25).map((at) => documentOf(`${set}.${at}`, { patientIds, eventCodeList: numbers(64).map(() => long) })),
    );
  const found = pages({ query: "findDocuments", patientIds, limit: 1000 });
  expect(new Set(namesOf(found)).size).toBe(101);
  expect(namesOf(found)).toHaveLength(101);
  expect(found.length).toBeGreaterThan(1);
});

test("nor do ids that their house merges with a patient's", async () => {
  const surviving = { root: "1.9", extension: "0" };
  const prior = numbers(500).map((at) => ({ root: "1.9", extension: `${at}`.padEnd(256, "\u9673") }));
  await store.commit(
    prior.flatMap((each) => {
      const tokens = { prior: tokenOf(store, each), surviving: tokenOf(store, surviving) };
      return store.merges.add({ ...tokens, at: "2026", facts: { prior: each, surviving } });
    }),
  );
  await enter(
    store,
    numbers(60).map((at) => documentOf(`merged${at}`, { patientIds: [surviving] })),
  );
  const found = pages({ query: "findDocuments", patientIds: [surviving], limit: 1000 });
  expect(namesOf(found)).toHaveLength(60);
});

test("an entry that is larger than any document's is not registered", async () => {
  const referenceIdList = numbers(512).map((at) => `${at}`.padEnd(1024, "x"));
  await expect(enter(store, [documentOf("fat", { referenceIdList })])).rejects.toMatchObject({ code: "TOO_LARGE" });
});
