/** Rows for a store: each test says only what matters to it. */
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { keySql, openFolderKeys } from "../../store/folder-key.ts";
import { type StorageKeys, storageKeys } from "../../store/keys.ts";
import { migrations } from "../../store/schema.ts";
import type { Row } from "../../store/sqlite.ts";
import type { ArrivalRow, Delivery } from "../../store/store.ts";

export const arrivalRow = (id: string, change: Partial<ArrivalRow> = {}): ArrivalRow => ({
  id,
  source: "his",
  channel: null,
  mediaType: "application/hl7-v2",
  controlId: "C1",
  sender: "x",
  repetition: null,
  digest: "d",
  blob: null,
  state: "accepted",
  code: null,
  reason: null,
  receivedAt: new Date().toISOString(),
  facts: { name: "陳怡君" },
  ...change,
});

export const deliveryRow = (id: string, change: Partial<Delivery> = {}): Delivery => ({
  id,
  kind: "register",
  channel: "c",
  destination: "registry",
  order: null,
  record: null,
  state: "queued",
  attempts: 0,
  due: 0,
  code: null,
  reason: null,
  createdAt: new Date().toISOString(),
  payload: { patient: "A223456781" },
  ...change,
});

/** What the rows of a data folder are sealed under. */
export function keysIn(folder: string, key: Uint8Array): StorageKeys {
  const db = new DatabaseSync(join(folder, "semrs.db"));
  try {
    const found = openFolderKeys(db.prepare(keySql).all() as Row[], key, folder);
    if (!found) throw new Error(`${folder} has no key yet`);
    return found.keys;
  } finally {
    db.close();
  }
}

/** The row of a folder of before decision 45, which is sealed under the storage key itself. */
export const keyRowBefore = (key: Uint8Array): Uint8Array =>
  storageKeys(key).seal("meta\0key\0value", Buffer.from("semrs"));

/** Makes an index one of an earlier format: without the columns that were added since, and what else `undo` takes back. */
export const asBefore = (version: number, undo = ""): string => {
  const added = migrations.slice(version).flatMap((sql) => [...sql.matchAll(/ALTER TABLE (\w+) ADD COLUMN (\w+)/g)]);
  const columns = added.map(([, table, column]) => `ALTER TABLE ${table} DROP COLUMN ${column};`);
  return `${columns.join(" ")} ${undo}; PRAGMA user_version = ${version}`;
};

/** Undoes what the format with two levels of the index has made, so that an older one can be made from what is left. */
export const beforeTwoLevels = `
  DROP TRIGGER document_once;
  DROP TABLE clock; DROP TABLE submission; DROP TABLE entry; DROP TABLE lookup; DROP TABLE lookup_recent;
  CREATE TABLE entry (
    id TEXT PRIMARY KEY, org TEXT NOT NULL, key TEXT NOT NULL UNIQUE, form TEXT NOT NULL, status TEXT NOT NULL,
    created_at TEXT NOT NULL, manifest_sha256 TEXT NOT NULL, entry BLOB NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE entry_patient (patient TEXT NOT NULL, created_at TEXT NOT NULL, entry TEXT NOT NULL) STRICT;
  CREATE TABLE entry_reference (reference TEXT NOT NULL, created_at TEXT NOT NULL, entry TEXT NOT NULL) STRICT;`;
