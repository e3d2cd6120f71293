/** The pages of every stored query are of one moment: their union is what was there when the first was asked, whatever is done between them. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { tokenOf } from "../../exchange/patients.ts";
import { answerQuery } from "../../exchange/queries.ts";
import { keyOf } from "../../exchange/submission.ts";
import { readCommand } from "../../formats/command.ts";
import type { Found, PatientId } from "../../formats/query.ts";
import { openStore } from "../../store/index.ts";
import type { Store } from "../../store/store.ts";
import { documentOf, enter } from "./indexed.ts";

let store: Store;
beforeAll(async () => {
  const folder = mkdtempSync(join(tmpdir(), "semrs-pages-"));
  store = await openStore({ folder, key: Buffer.alloc(32, 5), now: () => new Date() });
});
afterAll(() => store.close());

type Question = Readonly<Record<string, unknown>>;

function* pages(question: Question, limit: number): Generator<Found, void> {
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const asked = { command: "query", purposeOfUse: "TREAT", ...question, limit, ...(cursor ? { cursor } : {}) };
    const found = answerQuery(store, "hospital-b", readCommand("query", Buffer.from(JSON.stringify(asked))));
    cursor = found.next;
    yield found;
  }
}

/** What pages say together; a set is named on each page of its entries. */
const union = (found: readonly Found[]) => ({
  sets: [...new Set(found.flatMap(({ submissionSets }) => submissionSets.map(({ id }) => id)))],
  entries: found.flatMap(({ entries }) => entries.map(({ id, entry }) => [id, entry.availabilityStatus])),
  associations: found.flatMap(({ associations }) => associations),
});

/** What is asked, of the documents of two patients who are one or not, as there are by then. */
const questions: Readonly<
  Record<
    string,
    (of: { uniqueIds: string[]; patients: readonly PatientId[]; nth<T>(list: readonly T[]): T }) => Question
  >
> = {
  findDocuments: ({ patients }) => ({ patientIds: patients.slice(0, 1), status: ["approved", "deprecated"] }),
  "findDocuments, approved": ({ patients }) => ({ patientIds: patients.slice(1) }),
  findDocumentsByReferenceId: ({ patients }) => ({
    patientIds: patients.slice(0, 1),
    referenceIds: ["ACC"],
    status: ["deprecated"],
  }),
  getDocuments: ({ uniqueIds }) => ({ uniqueIds }),
  getAssociations: ({ uniqueIds }) => ({ uniqueIds: uniqueIds.filter((_, at) => at % 2 === 0) }),
  getRelatedDocuments: ({ uniqueIds, nth }) => ({ uniqueId: nth(uniqueIds) }),
  findSubmissionSets: ({ patients }) => ({ patientIds: patients.slice(0, 1) }),
  getSubmissionSetAndContents: ({ patients, nth }) => ({
    id: nth(union([...pages({ query: "findSubmissionSets", patientIds: patients }, 1000)]).sets),
  }),
};

const registered = fc.record({
  do: fc.constant("register" as const),
  count: fc.integer({ min: 1, max: 4 }),
  patient: fc.constantFrom(0, 1),
  org: fc.constantFrom("hospital-a", "hospital-c", "hospital-d"),
  relation: fc.constantFrom("RPLC", "APND", "XFRM", null),
  to: fc.nat(50),
});
/** A merge tells most where there was none before. */
const acts = (merges: number) =>
  fc.array(
    fc.oneof(
      { arbitrary: registered, weight: 6 },
      { arbitrary: fc.record({ do: fc.constant("deprecate" as const), to: fc.nat(50) }), weight: 3 },
      {
        arbitrary: fc.record({ do: fc.constant("settle" as const), rows: fc.integer({ min: 1, max: 20 }) }),
        weight: 2,
      },
      { arbitrary: fc.record({ do: fc.constant("merge" as const) }), weight: merges },
    ),
    { maxLength: 12 },
  );
type Act = ReturnType<typeof acts> extends fc.Arbitrary<(infer A)[]> ? A : never;
const limits = fc.integer({ min: 1, max: 4 });

/** A registry as far as two patients of it go, beside those of the runs before. */
function openWorld(run: number) {
  const patients = [0, 1].map((n) => ({ root: "1.2", extension: `${run}-${n}` }));
  const [surviving, prior] = patients as [PatientId, PatientId];
  const uniqueIds: string[] = [];
  const perform = async (each: Act): Promise<void> => {
    const { entries, merges } = store;
    if (each.do === "settle") await store.commit(entries.settle({ rows: each.rows, least: 1 }));
    if (each.do === "merge") {
      const tokens = { prior: tokenOf(store, prior), surviving: tokenOf(store, surviving) };
      await store.commit(merges.add({ ...tokens, at: "2026", facts: { prior, surviving } }));
    }
    if (each.do === "deprecate") {
      const uniqueId = uniqueIds[each.to % Math.max(1, uniqueIds.length)];
      const [row] = uniqueId ? entries.byKey(keyOf(store, uniqueId)) : [];
      if (row) await store.commit(entries.deprecate(row.id));
    }
    if (each.do === "register") {
      const uniqueId = uniqueIds[each.to % Math.max(1, uniqueIds.length)];
      const relatedDocuments = each.relation && uniqueId ? [{ type: each.relation, uniqueId } as const] : [];
      const of = {
        patientIds: patients.slice(each.patient, each.patient + 1),
        repositoryUniqueId: each.org,
        referenceIdList: ["ACC"],
      };
      const documents = Array.from({ length: each.count }, (_, n) =>
        documentOf(`${run}.${uniqueIds.length + n}`, { ...of, ...(n === 0 ? { relatedDocuments } : {}) }),
      );
      await enter(store, documents);
      uniqueIds.push(...documents.map((document) => document.uniqueId));
    }
  };
  return { patients, uniqueIds, perform };
}

let run = 0;
test.each(Object.keys(questions))("%s", async (name) => {
  await fc.assert(
    fc.asyncProperty(registered, acts(1), acts(6), limits, fc.nat(50), async (first, ...rest) => {
      const [before, between, limit, pick] = rest;
      run += 1;
      const world = openWorld(run);
      for (const each of [first, ...before]) await world.perform(each);
      const nth = <T>(list: readonly T[]): T => list[pick % list.length] as T;
      const asked = questions[name]?.({ ...world, uniqueIds: [...world.uniqueIds], nth });
      const question = { query: name.split(",")[0], ...asked };
      const whole = union([...pages(question, 1000)]);
      const found: Found[] = [];
      const left = [...between];
      for (const page of pages(question, limit)) {
        expect(page.entries.length).toBeLessThanOrEqual(limit);
        expect(page.submissionSets.length).toBeLessThanOrEqual(limit);
        found.push(page);
        for (const each of left.splice(0, 2)) await world.perform(each);
      }
      expect(union(found)).toEqual(whole);
    }),
    { numRuns: 30 },
  );
});

test("a merge that is taken back between two pages counts at once: nobody is told of another patient's documents any more", async () => {
  const [surviving, prior] = ["back-1", "back-2"].map((extension) => ({ root: "1.2", extension })) as [
    PatientId,
    PatientId,
  ];
  await enter(store, [documentOf("back.other", { patientIds: [prior] })]);
  for (const name of ["back.1", "back.2"]) await enter(store, [documentOf(name, { patientIds: [surviving] })]);
  const [one, other] = [tokenOf(store, prior), tokenOf(store, surviving)];
  await store.commit(store.merges.add({ prior: one, surviving: other, at: "2026", facts: { prior, surviving } }));
  const answered = pages({ query: "findDocuments", patientIds: [surviving] }, 1);
  const next = (): readonly string[] => {
    const { value } = answered.next();
    return value ? value.entries.map(({ entry }) => entry.uniqueId) : [];
  };
  expect(next()).toEqual(["1.2.3^back.2"]);
  await store.commit(store.merges.undo([one, other]));
  expect([next(), next()]).toEqual([["1.2.3^back.1"], []]);
});
