/** A patient who was erased: in no answer of the registry, under no id they had; what is registered later is a beginning. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, expect, test } from "vitest";
import { tokenOf } from "../../exchange/patients.ts";
import { answerQuery } from "../../exchange/queries.ts";
import { keyOf } from "../../exchange/submission.ts";
import { type PatientId, readCommand } from "../../formats/command.ts";
import type { Found } from "../../formats/query.ts";
import { erasePatient } from "../../pipeline/erasure.ts";
import { openStore } from "../../store/index.ts";
import type { Store } from "../../store/store.ts";
import { keysIn } from "../store/rows.ts";
import { documentOf, enter } from "./indexed.ts";

const folder = mkdtempSync(join(tmpdir(), "semrs-erased-"));
const key = Buffer.alloc(32, 5);
let store: Store;
const open = async (): Promise<void> => {
  store = await openStore({ folder, key, now: () => new Date() });
};
beforeAll(open);
afterAll(() => store.close());

/** As hospital B asks. */
function ask(query: Readonly<Record<string, unknown>>): Found {
  const bytes = Buffer.from(JSON.stringify({ command: "query", purposeOfUse: "TREAT", ...query }));
  return answerQuery(store, "hospital-b", readCommand("query", bytes));
}
const namesOf = ({ entries }: Found): readonly string[] => entries.map(({ entry }) => entry.uniqueId.slice(6));
const find = (...patientIds: readonly PatientId[]): readonly string[] =>
  namesOf(ask({ query: "findDocuments", patientIds }));
const erase = (patientIds: readonly PatientId[], isConfirmed = true) =>
  erasePatient({ store, log: () => undefined }, patientIds, "a request", isConfirmed);

const [national, chart, old, other] = ["N", "C", "O", "X"].map((extension): PatientId => ({ root: "1.2", extension }));
if (!national || !chart || !old || !other) throw new Error("four ids");

test("the entries of all ids of a patient are in no answer, and nobody else's are touched", async () => {
  const set = "8".repeat(32);
  const relatedDocuments = [{ type: "APND" as const, uniqueId: "1.2.3^e1" }];
  await enter(
    store,
    [
      documentOf("e1", { patientIds: [chart, national], referenceIdList: ["ERASED"] }),
      documentOf("e2", { patientIds: [chart], relatedDocuments }),
      documentOf("e3", { patientIds: [old] }),
      documentOf("x1", { patientIds: [other], referenceIdList: ["ERASED"] }),
    ],
    set,
  );
  const tokens = { prior: tokenOf(store, old), surviving: tokenOf(store, chart) };
  await store.commit(store.merges.add({ ...tokens, at: "2026", facts: { prior: old, surviving: chart } }));
  await store.commit(store.audit.add({ event: "answer", patients: [{ patient: tokens.surviving, ids: ["C"] }] }));
  const everywhere = [
    { query: "findDocuments", patientIds: [national, chart, old] },
    { query: "findDocumentsByReferenceId", patientIds: [chart], referenceIds: ["ERASED"] },
    { query: "getDocuments", uniqueIds: ["1.2.3^e1", "1.2.3^e2", "1.2.3^e3"] },
    { query: "getAssociations", uniqueIds: ["1.2.3^e1"] },
    { query: "getRelatedDocuments", uniqueId: "1.2.3^e1" },
    { query: "findSubmissionSets", patientIds: [chart] },
  ];
  const told = (query: Readonly<Record<string, unknown>>): number => {
    const { submissionSets, entries, associations } = ask(query);
    return submissionSets.length + entries.length + associations.length;
  };
  const [own] = ask({ query: "findSubmissionSets", patientIds: [other] }).submissionSets;
  const begun = ask({ query: "findDocuments", patientIds: [chart], limit: 1 });
  expect(namesOf(begun)).toEqual(["e3"]);

  const reach = { keys: 2, entries: 3, auditEntries: 1 };
  expect(await erase([national], false)).toEqual({ isErased: false, ...reach });
  for (const query of everywhere) expect(told(query), query.query).toBeGreaterThan(0);
  expect(await erase([national])).toEqual({ isErased: true, ...reach });

  for (const query of everywhere) expect(told(query), query.query).toBe(0);
  expect(ask({ query: "findDocuments", patientIds: [chart], limit: 1, cursor: begun.next }).entries).toEqual([]);
  expect(find(other)).toEqual(["x1"]);
  const slice = { limit: 10, moment: store.entries.moment() };
  expect(store.entries.find("patient", [tokens.prior, tokens.surviving, tokenOf(store, national)], slice)).toEqual([]);
  expect(namesOf(ask({ query: "getSubmissionSetAndContents", id: own?.id }))).toEqual(["x1"]);
  const [answer, erasure, ...more] = store.audit.after(0, 10);
  expect(answer?.patients).toEqual([{ key: expect.any(String), ids: null }]);
  expect(erasure).toMatchObject({ event: "erasure", peer: "admin", count: 3, reason: "a request", patients: [] });
  expect([more, store.merges.of([tokens.prior]), [...store.checks.unopened()].flat()]).toEqual([[], [], []]);
  await expect(erase([national])).rejects.toMatchObject({ code: "DOCUMENT_UNKNOWN" });
});

test("a document that was registered is not registered again; a new one is found, under the ids that were merged, too", async () => {
  await expect(enter(store, [documentOf("e1", { patientIds: [chart] })])).rejects.toMatchObject({
    code: "DOCUMENT_REMOVED",
  });
  await enter(store, [documentOf("e4", { patientIds: [chart] })]);
  expect([find(chart), find(old), find(national)]).toEqual([["e4"], ["e4"], []]);
  expect(ask({ query: "findDocuments", patientIds: [old] }).entries[0]?.entry.patientIds).toEqual([chart]);
});

test("an entry that lies under the site's key, as those of before do, is erased as well", async () => {
  const seven = { root: "1.2", extension: "7" };
  await enter(store, [documentOf("s1", { patientIds: [seven] })]);
  const { id = "", entry } = store.entries.byKey(keyOf(store, "1.2.3^s1"))[0] ?? {};
  await store.close();
  const db = new DatabaseSync(join(folder, "semrs.db"));
  const sealed = keysIn(folder, key).seal(`entry\0${id}\0entry`, Buffer.from(JSON.stringify(entry)));
  db.prepare("UPDATE entry SET entry = ?, patient_key = NULL WHERE id = ?").run(sealed, id);
  db.close();
  await open();
  expect(find(seven)).toEqual(["s1"]);
  expect(await erase([seven])).toEqual({ isErased: true, keys: 1, entries: 1, auditEntries: 0 });
  expect(store.entries.byKey(keyOf(store, "1.2.3^s1"))[0]).toMatchObject({ isRemoved: true, entry: null });
});

test("ids that lead to more than one patient can have erase nobody", async () => {
  const ids = Array.from({ length: 1_500 }, (_, n): PatientId => ({ root: "1.3", extension: `${n}` }));
  const [first] = ids;
  if (!first) throw new Error("an id");
  for (let at = 0; at < ids.length; at += 500)
    await enter(store, [documentOf(`many${at}`, { patientIds: [first, ...ids.slice(at, at + 500)] })]);
  await expect(erase([first])).rejects.toMatchObject({ code: "QUERY_INVALID" });
  expect(find(first)).toHaveLength(3);
});
