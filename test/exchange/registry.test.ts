/** The registry over the wire: what is registered in one envelope, what is asked, and what it refuses, signed. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { writeCommand } from "../../formats/command.ts";
import type { TestExchange } from "../sites.ts";
import { type Asking, openAsking } from "./asking.ts";
import { documentOf, manifestOf, registration } from "./indexed.ts";

let exchange: TestExchange;
let asking: Asking;

beforeAll(async () => {
  ({ exchange, asking } = await openAsking());
});
afterAll(() => exchange.close());

const patientIds = [{ root: "1.2", extension: "1" }];
const query = (change: Readonly<Record<string, unknown>> = {}): Uint8Array =>
  Buffer.from(
    JSON.stringify({ command: "query", query: "findDocuments", patientIds, purposeOfUse: "TREAT", ...change }),
  );

/** Registers a document of this name with other content, as this house. */
const other = (name: string, org: string): Uint8Array =>
  writeCommand<"register">({
    command: "register",
    submissionSet: "0".repeat(32),
    entries: [
      { entry: documentOf(name, { repositoryUniqueId: org, hash: "1".repeat(64) }), manifestSha256: "e".repeat(64) },
    ],
  });

test("200 entries in one envelope are one set, and pages of them over the wire are all of them, though others register and the registry restarts between them", async () => {
  const documents = Array.from({ length: 200 }, (_, n) => documentOf(`wire${n}`));
  expect(await asking.ask("hospital-a", "register", registration(documents))).toMatchObject({ status: 201 });
  const names: string[] = [];
  let cursor: string | null | undefined;
  while (cursor !== null) {
    const { found } = await asking.ask("hospital-b", "query", query({ limit: 90, ...(cursor ? { cursor } : {}) }));
    names.push(...(found?.entries ?? []).map(({ entry }) => entry.uniqueId));
    cursor = found?.next ?? null;
    const meanwhile = documentOf(`meanwhile${names.length}`, { repositoryUniqueId: "hospital-b" });
    await asking.ask("hospital-b", "register", registration([meanwhile]));
    await exchange.stop("registry");
    await exchange.start("registry");
  }
  expect(names).toEqual(documents.map(({ uniqueId }) => uniqueId).reverse());
});

test("201 entries, one document twice, and one of another's are refused whole", async () => {
  const many = Array.from({ length: 201 }, (_, n) => documentOf(`many${n}`));
  const twice = [documentOf("twice"), documentOf("twice")];
  const foreign = [documentOf("mine"), documentOf("theirs", { repositoryUniqueId: "hospital-b" })];
  const codes = await Promise.all(
    [many, twice, foreign].map(async (documents) => {
      const said = await asking.ask("hospital-a", "register", registration(documents));
      return [said.status, said.refusal?.code];
    }),
  );
  expect(codes).toEqual([
    [400, "QUERY_INVALID"],
    [409, "DOCUMENT_CONFLICT"],
    [403, "NOT_PERMITTED"],
  ]);
  const uniqueIds = [...many, ...twice, ...foreign].map(({ uniqueId }) => uniqueId).slice(0, 200);
  const { found } = await asking.ask(
    "hospital-b",
    "query",
    query({ query: "getDocuments", patientIds: undefined, uniqueIds }),
  );
  expect(found?.entries).toEqual([]);
});

test("other content under an id that its house has registered is refused: it is told both manifests", async () => {
  const first = documentOf("conflict");
  expect(await asking.ask("hospital-a", "register", registration([first]))).toMatchObject({ status: 201 });
  const registered = manifestOf(first.uniqueId);
  const { status, refusal } = await asking.ask("hospital-a", "register", other("conflict", "hospital-a"));
  expect([status, refusal?.code]).toEqual([409, "DOCUMENT_CONFLICT"]);
  const said = "a document with this id is registered with other content";
  expect(refusal?.title).toBe(`${said}: ${registered}, and now ${"e".repeat(64)}`);
});

test("a house that registers an id before its owner does neither keeps it from the owner nor learns what is registered under it", async () => {
  const [guessed, free] = ["guessed", "free"];
  expect((await asking.ask("hospital-b", "register", other(guessed, "hospital-b"))).status).toBe(201);
  const owner = await asking.ask("hospital-a", "register", registration([documentOf(guessed)]));
  expect(owner).toMatchObject({ status: 201 });
  // An id that another house has, and one that nobody has, are answered alike.
  expect((await asking.ask("hospital-b", "register", other(free, "hospital-b"))).status).toBe(201);

  const uniqueId = `1.2.3^${guessed}`;
  const asked = async (change: Readonly<Record<string, unknown>>) =>
    (await asking.ask("hospital-b", "query", query({ patientIds: undefined, ...change }))).found;
  const holders = async () => (await asked({ query: "getDocuments", uniqueIds: [uniqueId] }))?.entries;
  const rows = [
    { org: "hospital-a", manifestSha256: manifestOf(uniqueId), entry: { repositoryUniqueId: "hospital-a" } },
    { org: "hospital-b", manifestSha256: "e".repeat(64), entry: { repositoryUniqueId: "hospital-b" } },
  ];
  expect(await holders()).toMatchObject(rows);
  // Registered again, each is there once; what one says of its own does nothing to the other's.
  expect((await asking.ask("hospital-b", "register", other(guessed, "hospital-b"))).status).toBe(201);
  const removal = { command: "change", action: "remove", uniqueId, manifestSha256: "e".repeat(64) } as const;
  expect((await asking.ask("hospital-b", "change", writeCommand<"change">(removal))).status).toBe(200);
  expect(await holders()).toMatchObject(rows.slice(0, 1));
  expect((await asking.ask("hospital-b", "register", other(guessed, "hospital-b"))).status).toBe(410);
});

test("what is related to a document is found, although another house registered its id later", async () => {
  const relatedDocuments = [{ type: "APND" as const, uniqueId: "1.2.3^related" }];
  const documents = [documentOf("related"), documentOf("adds", { relatedDocuments })];
  expect((await asking.ask("hospital-a", "register", registration(documents))).status).toBe(201);
  expect((await asking.ask("hospital-b", "register", other("adds", "hospital-b"))).status).toBe(201);
  const related = query({ query: "getRelatedDocuments", patientIds: undefined, uniqueId: "1.2.3^adds" });
  const { found } = await asking.ask("hospital-b", "query", related);
  expect(found?.associations).toEqual([{ type: "APND", source: "1.2.3^adds", target: "1.2.3^related" }]);
  expect(found?.entries.map(({ org, entry }) => [org, entry.uniqueId])).toEqual([
    ["hospital-b", "1.2.3^adds"],
    ["hospital-a", "1.2.3^adds"],
    ["hospital-a", "1.2.3^related"],
  ]);
});

test("an unknown field, a forged cursor and another house's cursor are refused, sealed to who asked", async () => {
  const { found } = await asking.ask("hospital-b", "query", query({ limit: 1 }));
  const refusals = await Promise.all([
    asking.ask("hospital-b", "query", query({ colour: "red" })),
    asking.ask("hospital-b", "query", query({ limit: 1, cursor: "Zm9yZ2Vk" })),
    asking.ask("hospital-a", "query", query({ limit: 1, cursor: found?.next })),
  ]);
  expect(refusals.map(({ status, refusal }) => [status, refusal?.code])).toEqual([
    [400, "QUERY_INVALID"],
    [400, "CURSOR_INVALID"],
    [400, "CURSOR_INVALID"],
  ]);
});
