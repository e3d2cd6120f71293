/** What was registered before entries had an id of their own and a status is found, corrected and registered as any other. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { tokenOf } from "../../exchange/patients.ts";
import { answerQuery } from "../../exchange/queries.ts";
import { keyOf, submitted } from "../../exchange/submission.ts";
import { updated } from "../../exchange/updated.ts";
import { readCommand } from "../../formats/command.ts";
import type { DocumentEntry } from "../../formats/document-entry.ts";
import { openStore } from "../../store/index.ts";
import type { Store } from "../../store/store.ts";
import { documentOf, enter } from "./indexed.ts";

let store: Store;
beforeAll(async () => {
  const folder = mkdtempSync(join(tmpdir(), "semrs-old-entries-"));
  store = await openStore({ folder, key: Buffer.alloc(32, 5), now: () => new Date() });
});
afterAll(() => store.close());

const patientIds = [{ root: "1.2", extension: "7" }];
/** An entry as the first versions wrote it. */
function old(name: string): Omit<DocumentEntry, "entryUuid" | "availabilityStatus"> {
  const { entryUuid: _id, availabilityStatus: _status, ...entry } = documentOf(name, { patientIds });
  return entry;
}
const find = () => {
  const query = { command: "query", purposeOfUse: "TREAT", query: "findDocuments", patientIds };
  const { entries } = answerQuery(store, "hospital-b", readCommand("query", Buffer.from(JSON.stringify(query))));
  return entries.map(({ entry }) => entry);
};
const manifestSha256 = "0".repeat(64);

test("a patient of whom something old is registered is answered for: it has the id and status of today", async () => {
  await enter(store, [documentOf("new", { patientIds })]);
  const { key, entry, ...rest } = { key: keyOf(store, "1.2.3^kept"), entry: old("kept"), form: "113", manifestSha256 };
  await store.commit(
    store.entries.add({
      ...{ ...rest, key, entry, id: store.newId(), submission: store.newId(), org: "hospital-a" },
      ...{ patients: patientIds.map((id) => tokenOf(store, id)), references: [], related: [] },
      createdAt: new Date().toISOString(),
    }),
  );
  expect(find()).toEqual([documentOf("kept", { patientIds }), documentOf("new", { patientIds })]);
  const row = store.entries.byKey(key)[0];
  if (!row) throw new Error("it is registered");
  await store.commit(updated(store, row, documentOf("kept", { patientIds, title: "after" })));
  expect(find()[0]).toEqual(documentOf("kept", { patientIds, title: "after" }));
});

test("what a house of such a version registers, or was still to register, is taken", async () => {
  const entries = [{ manifestSha256, entry: old("sent") }];
  const octets = Buffer.from(JSON.stringify({ command: "register", submissionSet: "0".repeat(32), entries }));
  const command = readCommand("register", octets);
  await store.commit(submitted(store, "hospital-a", command, new Date().toISOString()));
  expect(find()[0]).toEqual(documentOf("sent", { patientIds }));
});

test("images that come after an upgrade, for a document of before, have the id of today and no status: they are registered", async () => {
  const { availabilityStatus: _status, ...entry } = documentOf("after", { patientIds });
  const entries = [{ manifestSha256, entry }];
  const octets = Buffer.from(JSON.stringify({ command: "register", submissionSet: "1".repeat(32), entries }));
  const command = readCommand("register", octets);
  expect(command.entries[0]?.entry).toEqual(documentOf("after", { patientIds }));
});

test("images that such a house sealed later are read", () => {
  const { hash: _hash, size: _size, ...entry } = old("late");
  const { hash: _now, size: _today, ...today } = documentOf("late", { patientIds });
  const octets = Buffer.from(JSON.stringify({ command: "addendum", appends: "1.2.3^kept", entry }));
  expect(readCommand("addendum", octets).entry).toEqual(today);
});
