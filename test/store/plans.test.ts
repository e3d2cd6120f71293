/** What the index is asked, explained by SQLite with an index of some size: searches, never scans. INDEX_ENTRIES says how large (1000000). */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { fillIndex, patientOf } from "../../bench/filled-index.ts";
import { tokenOf } from "../../exchange/patients.ts";
import { answerQuery } from "../../exchange/queries.ts";
import { submitted } from "../../exchange/submission.ts";
import { readCommand } from "../../formats/command.ts";
import { dueSql, waysSql } from "../../store/deliveries.ts";
import { openStore } from "../../store/index.ts";
import { repetitionsSql } from "../../store/journal.ts";
import { discardedSql } from "../../store/kept-items.ts";
import { expireSql, takenUnderSql } from "../../store/messages.ts";
import type { Store } from "../../store/store.ts";
import { documentOf, enter, registration } from "../exchange/indexed.ts";

const entries = Number(process.env.INDEX_ENTRIES ?? 5_000);
const base = mkdtempSync(join(tmpdir(), "semrs-plans-"));
const folder = join(base, "data");
const key = Buffer.alloc(32, 5);
const patientIds = [patientOf(3)];
let store: Store;
let explaining: DatabaseSync;

beforeAll(async () => {
  mkdirSync(folder);
  await fillIndex(folder, key, { entries, patients: entries / 10, most: entries / 50 });
  store = await openStore({ folder, key, now: () => new Date() });
  explaining = new DatabaseSync(join(folder, "semrs.db"), { readOnly: true });
}, 300_000);
afterAll(async () => {
  explaining.close();
  await store.close();
  rmSync(base, { recursive: true });
});

/** What SQLite does for a statement, step by step. */
const planOf = (sql: string): readonly string[] =>
  explaining
    .prepare(`EXPLAIN QUERY PLAN ${sql}`)
    .all()
    .map(({ detail }) => String(detail));

/** Tables and sorts whose cost grows with the index; what was merged with a patient is a thousand rows at most. */
const growing = (sql: string): readonly string[] =>
  planOf(sql).filter(
    (step) =>
      /^SCAN (entry|lookup|lookup_recent|submission|patient|merge|ledger)\b/.test(step) ||
      /PRIMARY KEY \(rowid[<>]/.test(step) ||
      (/TEMP B-TREE/.test(step) && !/FROM merge\b/.test(sql)),
  );

/** Statements that are prepared while this is done: a store keeps those that it has asked before. */
function preparedBy(work: () => void): readonly string[] {
  const prepare = vi.spyOn(DatabaseSync.prototype, "prepare");
  try {
    work();
    return [...new Set(prepare.mock.calls.map(([sql]) => sql))];
  } finally {
    prepare.mockRestore();
  }
}

test("every stored query searches, from its first page to its last", async () => {
  const [one, other] = ["p1", "p2"].map((name) => documentOf(name, { patientIds, referenceIdList: ["ACC"] }));
  if (!one || !other) throw new Error("two documents");
  await enter(store, [one]);
  await enter(store, [{ ...other, relatedDocuments: [{ type: "RPLC", uniqueId: one.uniqueId }] }]);
  const [prior, surviving] = [patientOf(4), patientOf(3)];
  const tokens = { prior: tokenOf(store, prior), surviving: tokenOf(store, surviving) };
  await store.commit(store.merges.add({ ...tokens, at: "2026", facts: { prior, surviving } }));
  await store.close();
  store = await openStore({ folder, key, now: () => new Date() });
  const status = ["approved", "deprecated"];
  const ask = (query: Readonly<Record<string, unknown>>) => {
    const bytes = Buffer.from(JSON.stringify({ command: "query", purposeOfUse: "TREAT", limit: 1, ...query }));
    return answerQuery(store, "hospital-b", readCommand("query", bytes));
  };
  const statements = preparedBy(() => {
    const all = { query: "findDocuments", patientIds, status };
    const page = ask(all);
    expect([page, ask({ ...all, cursor: page.next })].flatMap(({ entries: [each] }) => each?.entry.uniqueId)).toEqual([
      other.uniqueId,
      one.uniqueId,
    ]);
    const [set] = ask({ query: "findSubmissionSets", patientIds }).submissionSets;
    const by = { query: "findDocumentsByReferenceId", patientIds, referenceIds: ["ACC"], status };
    const { next } = ask(by);
    expect(ask({ ...by, cursor: next }).entries.map(({ entry }) => entry.uniqueId)).toEqual([one.uniqueId]);
    expect(ask({ query: "getDocuments", uniqueIds: [one.uniqueId] }).entries).toHaveLength(1);
    expect(ask({ query: "getAssociations", uniqueIds: [one.uniqueId] }).associations).toHaveLength(1);
    expect(ask({ query: "getRelatedDocuments", uniqueId: one.uniqueId }).entries).toHaveLength(1);
    expect(ask({ query: "getSubmissionSetAndContents", id: set?.id }).entries).toHaveLength(1);
    expect(store.entries.find("patient", [], { moment: 10, limit: 1 })).toEqual([]);
  });
  // What finds the rows is among them, at both levels, and what is asked of ids that were merged.
  for (const found of [/FROM lookup\b/, /FROM lookup_recent\b/, /SELECT token FROM same/, /FROM submission\b/])
    expect(statements.filter((sql) => found.test(sql))).not.toEqual([]);
  expect(
    statements
      .filter((sql) => /FROM lookup/.test(sql))
      .flatMap(planOf)
      .sort(),
  ).toEqual(
    ["lookup", "lookup_recent"].map((level) => `SEARCH ${level} USING PRIMARY KEY (kind=? AND token=? AND seq<?)`),
  );
  for (const sql of statements) expect(growing(sql), sql).toEqual([]);
});

test("without statistics of its rows: what SQLite does is the same at any size", () => {
  expect(explaining.prepare("SELECT name FROM sqlite_schema WHERE name LIKE 'sqlite_stat%'").all()).toEqual([]);
});

test("so do registrations, changes and what is moved between the levels", async () => {
  const command = readCommand("register", registration([documentOf("p3", { patientIds, referenceIdList: ["ACC"] })]));
  const changes = [
    ...submitted(store, "hospital-a", command, "2026"),
    ...store.entries.deprecate("0".repeat(32)),
    ...store.entries.remove("0".repeat(32)),
    ...store.entries.update("0".repeat(32), { form: "113", patients: [], entry: {} }),
    ...store.entries.replace("hospital-a", store.tokens.of("document", "", "x"), "2026"),
    ...store.entries.settle({ rows: 2, least: 1 }),
  ] as unknown as readonly { readonly sql: string }[];
  expect(changes.length).toBeGreaterThan(10);
  for (const { sql } of changes) expect(growing(sql), sql).toEqual([]);
});

test("what is due next is found in a queue of any length without going through it", () => {
  const [ways, due] = [waysSql, dueSql].map(planOf);
  const searched = (plan: readonly string[] = []): readonly string[] =>
    plan.flatMap((step) => /SEARCH .*delivery_\w+ \(.*\)/.exec(step)?.[0] ?? []);
  expect(searched(ways)).toEqual([
    "SEARCH delivery USING INDEX delivery_way (kind=? AND destination>?)",
    "SEARCH delivery USING INDEX delivery_way (kind>?)",
    "SEARCH later USING INDEX delivery_way (kind=? AND destination=? AND due>?)",
  ]);
  expect(searched(due)).toEqual([
    "SEARCH d USING INDEX delivery_way (kind=? AND destination=? AND due<?)",
    "SEARCH e USING INDEX delivery_sequence (destination=? AND sequence=? AND id<?)",
    "SEARCH e USING INDEX delivery_sequence (destination=? AND sequence=? AND id>?)",
  ]);
  for (const sql of [waysSql, dueSql]) expect(planOf(sql).join("\n")).not.toContain("TEMP B-TREE");
});

test("what was discarded, and who else has its octets, is found without going through messages, items or blobs", () => {
  const item = { id: "i", kind: "document", arrival: "a", blob: "b", joins: ["accession:x"], patients: ["p"] } as const;
  let shredded: readonly { readonly sql: string }[] = [];
  const statements = preparedBy(() => {
    expect(store.keptItems.discarded({ kind: "document", before: "1", after: "", limit: 100 })).toEqual([]);
    const made = store.keptItems.shred([{ item, husk: null, attachments: ["c"] }], "2026");
    shredded = made.changes as unknown as typeof shredded;
  });
  const all = [...statements, ...shredded.map(({ sql }) => sql)].filter((sql) => !sql.startsWith("PRAGMA"));
  expect(all.length).toBeGreaterThan(10);
  for (const sql of all)
    expect(
      planOf(sql).filter((step) => /^SCAN (?!json_each|CONSTANT)|TEMP B-TREE/.test(step)),
      sql,
    ).toEqual([]);
  expect(planOf(discardedSql)).toEqual(["SEARCH item USING INDEX item_state (state=? AND kind=? AND id>? AND id<?)"]);
});

test("instances of other houses are found by their UID among all that was delivered", () => {
  expect(planOf(takenUnderSql)).toEqual(["SEARCH ledger USING PRIMARY KEY (destination=? AND key>? AND key<?)"]);
});

test("ids of envelopes whose time is over are found without going through those that count", () => {
  expect(planOf(expireSql).filter((step) => step.startsWith("S"))).toEqual([
    "SEARCH replay USING PRIMARY KEY (org=? AND id=?)",
    "SEARCH replay USING COVERING INDEX replay_until (until<?)",
  ]);
});

test("what repetitions are known by is gone through in its index alone", () => {
  expect(planOf(repetitionsSql)).toEqual(["SEARCH arrival USING COVERING INDEX arrival_repetition (repetition>?)"]);
});
