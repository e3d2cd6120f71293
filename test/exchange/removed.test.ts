/** What a house has removed from the registry (ITI-62): found by no question, of no moment. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { answerQuery } from "../../exchange/queries.ts";
import { keyOf, submitted } from "../../exchange/submission.ts";
import { updated } from "../../exchange/updated.ts";
import { readCommand } from "../../formats/command.ts";
import type { Found } from "../../formats/query.ts";
import { openStore } from "../../store/index.ts";
import type { Store } from "../../store/store.ts";
import { documentOf, enter } from "./indexed.ts";

let store: Store;
beforeAll(async () => {
  const folder = mkdtempSync(join(tmpdir(), "semrs-removed-"));
  store = await openStore({ folder, key: Buffer.alloc(32, 5), now: () => new Date() });
});
afterAll(() => store.close());

/** As hospital B asks. */
function ask(query: Readonly<Record<string, unknown>>): Found {
  const bytes = Buffer.from(JSON.stringify({ command: "query", purposeOfUse: "TREAT", ...query }));
  return answerQuery(store, "hospital-b", readCommand("query", bytes));
}
const namesOf = ({ entries }: Found): readonly string[] => entries.map(({ entry }) => entry.uniqueId.slice(6));

test("what is removed is in no answer, of no moment, and ends no page early; its octets are gone from the index", async () => {
  const eight = { root: "1.2", extension: "8" };
  const set = "8".repeat(32);
  const names = ["r1", "r2", "r3", "r4"];
  const documents = names.map((name) =>
    documentOf(name, {
      patientIds: [eight],
      referenceIdList: ["REMOVED"],
      ...(name === "r4" ? { relatedDocuments: [{ type: "APND", uniqueId: "1.2.3^r3" }] } : {}),
    }),
  );
  await enter(store, documents, set);
  const asked = { query: "findDocuments", patientIds: [eight], limit: 1 };
  const first = ask(asked);
  expect(namesOf(first)).toEqual(["r4"]);
  const row = store.entries.byKey(keyOf(store, "1.2.3^r3"))[0];
  await store.commit(store.entries.remove(row?.id ?? ""));
  const second = ask({ ...asked, cursor: first.next });
  expect([namesOf(second), namesOf(ask({ ...asked, cursor: second.next }))]).toEqual([["r2"], ["r1"]]);
  const by = (query: Readonly<Record<string, unknown>>): readonly string[] => namesOf(ask(query));
  const references = { patientIds: [eight], referenceIds: ["REMOVED"] };
  expect(by({ query: "findDocumentsByReferenceId", ...references })).toEqual(["r4", "r2", "r1"]);
  expect(by({ query: "getDocuments", uniqueIds: ["1.2.3^r3"] })).toEqual([]);
  expect(by({ query: "getRelatedDocuments", uniqueId: "1.2.3^r3" })).toEqual(["r4"]);
  const [own] = ask({ query: "findSubmissionSets", patientIds: [eight] }).submissionSets;
  expect(by({ query: "getSubmissionSetAndContents", id: own?.id })).toEqual(["r4", "r2", "r1"]);
  expect(store.entries.byKey(keyOf(store, "1.2.3^r3"))[0]).toMatchObject({ isRemoved: true, entry: null });
  expect([...store.checks.unopened()].flat()).toEqual([]);
});

test("an update that was asked for before a removal and is committed after it brings nothing back", async () => {
  const entry = documentOf("r9", { patientIds: [{ root: "1.2", extension: "9" }] });
  await enter(store, [entry]);
  const row = store.entries.byKey(keyOf(store, "1.2.3^r9"))[0];
  if (!row) throw new Error("it is registered");
  const late = updated(store, row, { ...entry, title: "late" });
  await store.commit(store.entries.remove(row.id));
  await store.commit(late);
  expect(store.entries.byKey(row.key)[0]).toMatchObject({ isRemoved: true, entry: null });
});

test("what is sealed anew and committed after a removal is not registered: its house is told at the next look", async () => {
  const entry = documentOf("r10", { patientIds: [{ root: "1.2", extension: "10" }] });
  await enter(store, [entry]);
  const anew = () => {
    const entries = [{ entry, manifestSha256: "1".repeat(64) }];
    const command = { command: "register", submissionSet: "0".repeat(32), entries } as const;
    return submitted(store, "hospital-a", { ...command, entries: [...entries] }, "2026");
  };
  const late = anew();
  const [row] = store.entries.byKey(keyOf(store, "1.2.3^r10"));
  await store.commit(store.entries.remove(row?.id ?? ""));
  await expect(store.commit(late)).rejects.toMatchObject({ code: "STORE_CONFLICT" });
  expect(anew).toThrow(expect.objectContaining({ code: "DOCUMENT_REMOVED" }));
});
