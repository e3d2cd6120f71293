/** The registry over the wire: what is registered in one envelope, what is asked, and what it refuses, signed. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { writeCommand } from "../../formats/command.ts";
import type { TestExchange } from "../sites.ts";
import { type Asking, openAsking } from "./asking.ts";
import { documentOf, registration } from "./indexed.ts";

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

test("200 entries in one envelope are one set, and pages of them over the wire are all of them", async () => {
  const documents = Array.from({ length: 200 }, (_, n) => documentOf(`wire${n}`));
  expect(await asking.ask("hospital-a", "register", registration(documents))).toMatchObject({ status: 201 });
  const names: string[] = [];
  let cursor: string | null | undefined;
  while (cursor !== null) {
    const { found } = await asking.ask("hospital-b", "query", query({ limit: 90, ...(cursor ? { cursor } : {}) }));
    names.push(...(found?.entries ?? []).map(({ entry }) => entry.uniqueId));
    cursor = found?.next ?? null;
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

test("other content under an id that is registered is refused: its own house is told both manifests, another one neither", async () => {
  const first = documentOf("conflict");
  expect(await asking.ask("hospital-a", "register", registration([first]))).toMatchObject({ status: 201 });
  const registered = JSON.parse(Buffer.from(registration([first])).toString()).entries[0].manifestSha256;
  const titles = await Promise.all(
    ["hospital-a", "hospital-b"].map(async (org) => {
      const entry = documentOf("conflict", { repositoryUniqueId: org });
      const entries = [{ entry, manifestSha256: "e".repeat(64) }];
      const command = writeCommand<"register">({ command: "register", submissionSet: "0".repeat(32), entries });
      const { status, refusal } = await asking.ask(org, "register", command);
      expect([status, refusal?.code]).toEqual([409, "DOCUMENT_CONFLICT"]);
      return refusal?.title;
    }),
  );
  const said = "a document with this id is registered with other content";
  expect(titles).toEqual([`${said}: ${registered}, and now ${"e".repeat(64)}`, said]);
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
