/** What the registry answers to each stored query, and that its pages are of one moment. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { tokenOf } from "../../exchange/patients.ts";
import { answerQuery } from "../../exchange/queries.ts";
import { readCommand } from "../../formats/command.ts";
import type { DocumentEntry } from "../../formats/document-entry.ts";
import type { Found } from "../../formats/query.ts";
import { openStore } from "../../store/index.ts";
import type { Store } from "../../store/store.ts";
import { documentOf, enter } from "./indexed.ts";

const one = { root: "1.2", extension: "1" };
const other = { root: "1.2", extension: "2" };

let store: Store;
beforeAll(async () => {
  const folder = mkdtempSync(join(tmpdir(), "semrs-queries-"));
  store = await openStore({ folder, key: Buffer.alloc(32, 5), now: () => new Date() });
});
afterAll(() => store.close());

/** As hospital B asks. */
function ask(query: Readonly<Record<string, unknown>>, org = "hospital-b"): Found {
  const bytes = Buffer.from(JSON.stringify({ command: "query", purposeOfUse: "TREAT", ...query }));
  return answerQuery(store, org, readCommand("query", bytes));
}
const namesOf = ({ entries }: Found): readonly string[] => entries.map(({ entry }) => entry.uniqueId.slice(6));
const find = (query: Readonly<Record<string, unknown>>): readonly string[] =>
  namesOf(ask({ query: "findDocuments", patientIds: [one], ...query }));

describe("findDocuments", () => {
  const documents: readonly DocumentEntry[] = [
    documentOf("lab", { author: "陳", eventCodeList: ["A", "B"], serviceStartTime: "20260101" }),
    documentOf("image", {
      form: "114",
      classCode: "114",
      typeCode: "18748-4",
      creationTime: "20260102075959+0800",
      confidentialityCode: "R",
    }),
    documentOf("other", { form: null, classCode: null, creationTime: "2026010200", author: "林" }),
  ];

  beforeAll(() => enter(store, documents));

  test.each<[string, Readonly<Record<string, unknown>>, readonly string[]]>([
    ["nothing but the patient: newest first", {}, ["other", "image", "lab"]],
    ["forms are OR", { forms: ["113", "114"] }, ["image", "lab"]],
    ["fields are AND", { forms: ["113", "114"], typeCode: ["18748-4"] }, ["image"]],
    ["a code that an entry has not", { classCode: ["113"] }, ["lab"]],
    ["any of an entry's events", { eventCodeList: ["B", "C"] }, ["lab"]],
    ["authors", { author: ["林", "陳"] }, ["other", "lab"]],
    ["confidentiality", { confidentialityCode: ["R"] }, ["image"]],
    [
      "times are instants: from is in, to is not",
      { creationTime: { from: "2026-01-01T00:00:00Z", to: "2026-01-01T23:59:59Z" } },
      ["lab"],
    ],
    ["a zone is counted", { creationTime: { from: "2026-01-01T23:59:59Z" } }, ["other", "image"]],
    ["a time that an entry has not", { serviceStartTime: { to: "2027-01-01T00:00:00Z" } }, ["lab"]],
    ["when it was registered", { registered: { to: "2020-01-01T00:00:00Z" } }, []],
    ["who registered it", { org: ["hospital-c"] }, []],
    ["deprecated ones", { status: ["deprecated"] }, []],
    ["another patient", { patientIds: [other] }, []],
  ])("%s", (_what, query, names) => {
    expect(find(query)).toEqual(names);
  });
});

describe("documents, sets and what relates them", () => {
  const set = "a".repeat(32);
  const patientIds = [{ root: "1.2", extension: "3" }];
  const first = documentOf("first", {
    patientIds,
    referenceIdList: ["ACC1", "1.2.840.1"],
  });
  const second = documentOf("second", { patientIds, relatedDocuments: [{ type: "RPLC", uniqueId: first.uniqueId }] });
  const third = documentOf("third", { patientIds, relatedDocuments: [{ type: "APND", uniqueId: second.uniqueId }] });
  beforeAll(async () => {
    await enter(store, [first], "b".repeat(32));
    await enter(store, [second, third], set);
    await enter(store, [documentOf("stranger", { patientIds: [other], referenceIdList: ["ACC1"] })]);
  });

  test("getDocuments: by their ids, with what became of them, from hospital B and of any patient", () => {
    const found = ask({ query: "getDocuments", uniqueIds: [first.uniqueId, third.uniqueId, "1.9^none"] });
    expect(found.entries.map(({ entry }) => [entry.uniqueId, entry.availabilityStatus])).toEqual([
      [third.uniqueId, "approved"],
      [first.uniqueId, "deprecated"],
    ]);
  });

  test("findDocumentsByReferenceId: of this patient, by accession number or study UID", () => {
    const by = (referenceIds: readonly string[]): readonly string[] =>
      namesOf(
        ask({
          query: "findDocumentsByReferenceId",
          patientIds,
          referenceIds,
          status: ["approved", "deprecated"],
        }),
      );
    expect(by(["ACC1"])).toEqual(["first"]);
    expect(by(["x", "1.2.840.1"])).toEqual(["first"]);
    expect(by(["1.2.840.2"])).toEqual([]);
  });

  test("getAssociations: what a document is of, names, and is named by", () => {
    const [id] = ask({ query: "findSubmissionSets", patientIds }).submissionSets.map((each) => each.id);
    const { associations } = ask({ query: "getAssociations", uniqueIds: [second.uniqueId] });
    expect(associations).toEqual([
      { type: "APND", source: third.uniqueId, target: second.uniqueId },
      { type: "HasMember", source: id, target: second.uniqueId },
      { type: "RPLC", source: second.uniqueId, target: first.uniqueId },
    ]);
  });

  test("getRelatedDocuments: both ways, by type", () => {
    const related = (types?: readonly string[]): readonly string[] =>
      namesOf(ask({ query: "getRelatedDocuments", uniqueId: second.uniqueId, ...(types ? { types } : {}) }));
    expect(related()).toEqual(["third", "second", "first"]);
    expect(related(["APND"])).toEqual(["third", "second"]);
    expect(related(["XFRM"])).toEqual(["second"]);
  });

  test("findSubmissionSets and getSubmissionSetAndContents: what came in one envelope", () => {
    const { submissionSets } = ask({ query: "findSubmissionSets", patientIds, org: ["hospital-a"] });
    expect(submissionSets.map(({ name }) => name)).toEqual([set, "b".repeat(32)]);
    const found = ask({ query: "getSubmissionSetAndContents", id: submissionSets[0]?.id });
    expect(found.submissionSets).toEqual(submissionSets.slice(0, 1));
    expect(namesOf(found)).toEqual(["third", "second"]);
    expect(found.associations.map(({ type }) => type).sort()).toEqual(["APND", "HasMember", "HasMember", "RPLC"]);
    expect(ask({ query: "getSubmissionSetAndContents", id: "f".repeat(32) }).submissionSets).toEqual([]);
  });
});

describe("pages", () => {
  const four = { root: "1.2", extension: "4" };
  const pages = function* (limit: number, query: Readonly<Record<string, unknown>> = {}): Generator<Found, void> {
    let cursor: string | null | undefined;
    while (cursor !== null) {
      const found = ask({ query: "findDocuments", patientIds: [four], limit, ...(cursor ? { cursor } : {}), ...query });
      cursor = found.next;
      yield found;
    }
  };

  test("a merge between two pages is not in the second, and is in the next question", async () => {
    const [prior, surviving] = ["6", "7"].map((extension) => ({ root: "1.2", extension }));
    if (!prior || !surviving) throw new Error("two ids");
    await enter(store, [documentOf("of6", { patientIds: [prior] })]);
    for (const name of ["of7a", "of7b"]) await enter(store, [documentOf(name, { patientIds: [surviving] })]);
    const asked = { query: "findDocuments", patientIds: [surviving], limit: 1 };
    const { next } = ask(asked);
    const tokens = { prior: tokenOf(store, prior), surviving: tokenOf(store, surviving) };
    await store.commit(store.merges.add({ ...tokens, at: "2026", facts: { prior, surviving } }));
    const second = ask({ ...asked, cursor: next });
    expect([namesOf(second), second.next]).toEqual([["of7a"], null]);
    expect(find({ patientIds: [surviving] })).toEqual(["of7b", "of7a", "of6"]);
  });

  test("a page that few of the rows are for ends after 5,000 of them, and goes on", async () => {
    const many = Array.from({ length: 5_200 }, (_, at) =>
      documentOf(`m${at}`, { patientIds: [four], ...(at === 3 ? { form: "121" } : {}) }),
    );
    for (let at = 0; at < many.length; at += 200) await enter(store, many.slice(at, at + 200));
    const found = [...pages(10, { forms: ["121"] })];
    expect(found.map(namesOf)).toEqual([[], ["m3"]]);
  });

  const five = { root: "1.2", extension: "5" };
  beforeAll(() =>
    enter(
      store,
      ["a", "b", "c"].map((name) => documentOf(name, { patientIds: [five] })),
    ),
  );

  test.each<[string, (cursor: string) => string, string, Readonly<Record<string, unknown>>]>([
    ["made up", () => "AAAA", "hospital-b", {}],
    [
      "changed in one letter",
      (cursor) => cursor.slice(0, 20) + (cursor[20] === "A" ? "B" : "A") + cursor.slice(21),
      "hospital-b",
      {},
    ],
    ["of another house", (cursor) => cursor, "hospital-a", {}],
    ["of another question", (cursor) => cursor, "hospital-b", { forms: ["113"] }],
  ])("CURSOR_INVALID: a cursor that is %s", (_what, change, org, query) => {
    const asked = { query: "findDocuments", patientIds: [five], limit: 1 };
    const { next } = ask(asked);
    expect(namesOf(ask({ ...asked, cursor: next }))).toEqual(["b"]);
    expect(namesOf(ask({ ...asked, limit: 2, cursor: next }))).toEqual(["b", "a"]);
    expect(() => ask({ ...asked, ...query, cursor: change(next ?? "") }, org)).toThrow(
      expect.objectContaining({ code: "CURSOR_INVALID" }),
    );
  });
});

test.each<[string, Readonly<Record<string, unknown>>]>([
  ["an unknown field", { patientIds: [one], colour: "red" }],
  ["an unknown field in a period", { patientIds: [one], creationTime: { since: "2026-01-01T00:00:00Z" } }],
  ["nobody", { patientIds: [] }],
  ["an unknown query", { patientIds: [one], query: "findEverything" }],
  ["too large a page", { patientIds: [one], limit: 1001 }],
  ["no time", { patientIds: [one], creationTime: { from: "yesterday" } }],
])("QUERY_INVALID: %s", (_what, query) => {
  expect(() => ask({ query: "findDocuments", ...query })).toThrow(expect.objectContaining({ code: "QUERY_INVALID" }));
});
