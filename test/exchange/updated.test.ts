/** What a house corrects in an entry of its own (ITI-57): over the wire, in pages that were begun before, and for who may see it. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { accessOf, type ConsentFacts } from "../../exchange/access.ts";
import { tokenOf } from "../../exchange/patients.ts";
import { keyOf } from "../../exchange/submission.ts";
import { updated } from "../../exchange/updated.ts";
import { writeCommand } from "../../formats/command.ts";
import { type DocumentEntry, documentEntrySchema } from "../../formats/document-entry.ts";
import { openStore } from "../../store/index.ts";
import type { EntryRow } from "../../store/store.ts";
import type { TestExchange } from "../sites.ts";
import { type Asking, openAsking, type Said } from "./asking.ts";
import { documentOf, enter, registration } from "./indexed.ts";

let exchange: TestExchange;
let asking: Asking;

beforeAll(async () => {
  ({ exchange, asking } = await openAsking());
});
afterAll(() => exchange.close());

const patientIds = [{ root: "1.2", extension: "57" }];
const manifestSha256 = (name: string): string =>
  Buffer.from(`1.2.3^${name}`).toString("hex").padEnd(64, "0").slice(0, 64);
const update = (name: string, entry: DocumentEntry): Uint8Array =>
  writeCommand<"change">({
    command: "change",
    action: "update",
    uniqueId: `1.2.3^${name}`,
    manifestSha256: manifestSha256(name),
    entry,
  });
const ask = async (change: Readonly<Record<string, unknown>>): Promise<Said> => {
  const query = { command: "query", query: "findDocuments", patientIds, purposeOfUse: "TREAT", ...change };
  return await asking.ask("hospital-b", "query", Buffer.from(JSON.stringify(query)));
};
const shown = ({ found }: Said): readonly (readonly [string, string | null])[] =>
  (found?.entries ?? []).map(({ entry }) => [entry.uniqueId.slice(6), entry.title]);

test("an entry says what its house corrected, once for a message, in its place of a page that was begun before", async () => {
  const names = ["u1", "u2", "u3"];
  const documents = names.map((name) => documentOf(name, { patientIds, title: "before" }));
  expect(await asking.ask("hospital-a", "register", registration(documents))).toMatchObject({ status: 201 });
  const first = await ask({ limit: 1 });
  expect(shown(first)).toEqual([["u3", "before"]]);
  const [id] = (await ask({})).found?.entries.slice(1).map((each) => each.id) ?? [];

  const says = { title: "after", form: "114", classCode: "114", confidentialityCode: "R", creationTime: "20260202" };
  const after = documentOf("u2", { patientIds, ...says });
  const command = update("u2", after);
  const sent = (): Promise<Said> =>
    asking
      .seal("hospital-a", "change", command, "57".repeat(16))
      .then((sealed) => asking.post("hospital-a", "change", sealed));
  const [once, again] = [await sent(), await sent()];
  expect([once.status, again.status]).toEqual([200, 200]);
  expect(again.bytes.equals(once.bytes)).toBe(true);

  const second = await ask({ limit: 1, cursor: first.found?.next });
  const third = await ask({ limit: 1, cursor: second.found?.next });
  expect([...shown(second), ...shown(third)]).toEqual([
    ["u2", "after"],
    ["u1", "before"],
  ]);
  expect(second.found?.entries).toMatchObject([{ id, manifestSha256: manifestSha256("u2"), entry: after }]);
  // By the column in clear that rules and consents judge by, and by what is sealed.
  expect(shown(await ask({ forms: ["114"] }))).toEqual([["u2", "after"]]);
  expect(shown(await ask({ forms: ["113"], confidentialityCode: ["N"] })).map(([name]) => name)).toEqual(["u3", "u1"]);
  // Registered again, as a house does that has not heard of its receipt.
  expect(await asking.ask("hospital-a", "register", registration(documents))).toMatchObject({ status: 201 });
  expect(shown(await ask({ forms: ["114"] }))).toEqual([["u2", "after"]]);
});

test("rules and consents judge by the form that an entry has now", async () => {
  const folder = mkdtempSync(join(tmpdir(), "semrs-updated-"));
  const store = await openStore({ folder, key: Buffer.alloc(32, 5), now: () => new Date() });
  const document = documentOf("u4", { patientIds });
  await enter(store, [document]);
  const [patient = ""] = patientIds.map((each) => tokenOf(store, each));
  const withheld = { id: store.newId(), patient, org: "hospital-a", at: "2026", facts: withholding("114") };
  await store.commit(store.consents.add(withheld));
  const read = (): EntryRow =>
    store.entries.byKey(keyOf(store, document.uniqueId))[0] ?? expect.fail("it is registered");
  /** Whether hospital B is told of it by a rule for 113 and 114, and by one for 115. */
  const told = (): readonly boolean[] =>
    [["113", "114"], ["115"]].map((forms) =>
      accessOf(store, [{ forms, purposes: ["TREAT"] }], "hospital-b", { purposeOfUse: "TREAT" })(read()),
    );
  const seen = [told()];
  for (const form of ["114", "115"]) {
    await store.commit(updated(store, read(), { ...document, form }));
    seen.push(told());
  }
  expect(seen).toEqual([
    [true, false],
    [false, false],
    [false, true],
  ]);
  await store.close();
});
const withholding = (form: string): ConsentFacts => ({ decision: "withhold", forms: [form] });

/** Another value of every field that stays as it was registered. */
const others: Partial<DocumentEntry> = {
  uniqueId: "1.2.3^another",
  entryUuid: "urn:uuid:00000000-0000-8000-8000-000000000000",
  patientIds: [{ root: "1.2", extension: "58" }],
  mimeType: "application/pdf",
  hash: "1".repeat(64),
  size: 2,
  repositoryUniqueId: "hospital-b",
  availabilityStatus: "deprecated",
  referenceIdList: ["ACC9"],
  relatedDocuments: [{ type: "RPLC", uniqueId: "1.2.3^u1" }],
  images: { studies: [], modalities: ["CT"], series: 1, instances: 1 },
};

test("what names the document, what is proven of it and what it is found by stays: 422 points to each field", async () => {
  const entry = documentOf("u5", { patientIds });
  await asking.ask("hospital-a", "register", registration([entry]));
  for (const [name, value] of Object.entries(others)) {
    const { status, refusal } = await asking.ask("hospital-a", "change", update("u5", { ...entry, [name]: value }));
    expect([status, refusal?.code, refusal?.title]).toEqual([
      422,
      "METADATA_INVALID",
      `not to be changed: /entry/${name}`,
    ]);
  }
  const all = await asking.ask(
    "hospital-a",
    "change",
    update("u5", documentEntrySchema.parse({ ...entry, ...others })),
  );
  expect(all.refusal?.title.match(/\/entry\//g)).toHaveLength(Object.keys(others).length);
});

test("90 only its house updates an entry, under the manifest it is registered with; removed is 410, deprecated is updated and stays so", async () => {
  const entry = documentOf("u6", { patientIds });
  const after = update("u6", { ...entry, title: "after" });
  const status = async (org: string, command: Uint8Array): Promise<number> =>
    (await asking.ask(org, "change", command)).status;
  expect(await status("hospital-a", after)).toBe(404);
  await asking.ask("hospital-a", "register", registration([entry]));
  expect(await status("hospital-b", after)).toBe(403);
  const named = { command: "change", uniqueId: entry.uniqueId, manifestSha256: manifestSha256("u6") } as const;
  const other = { ...named, action: "update", manifestSha256: "0".repeat(64), entry } as const;
  expect(await status("hospital-a", writeCommand<"change">(other))).toBe(404);
  expect(await status("hospital-a", writeCommand<"change">({ ...named, action: "deprecate" }))).toBe(200);
  expect(await status("hospital-a", after)).toBe(200);
  const { found } = await ask({ query: "getDocuments", patientIds: undefined, uniqueIds: [entry.uniqueId] });
  expect(found?.entries).toMatchObject([{ entry: { title: "after", availabilityStatus: "deprecated" } }]);
  expect(await status("hospital-a", writeCommand<"change">({ ...named, action: "remove" }))).toBe(200);
  expect(await status("hospital-a", after)).toBe(410);
});
