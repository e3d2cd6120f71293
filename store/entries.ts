/** What was seen (messages, replays, the delivery ledger) and what the registry indexes. */
import { randomBytes } from "node:crypto";
import type { StorageKeys } from "./keys.ts";
import { openJson, sealJson, text } from "./rows.ts";
import { change, type Database, insert, type Row, update } from "./sqlite.ts";
import type { Entries, EntryRow, EntryStatus, Messages } from "./store.ts";

export function openMessages(db: Database, keys: StorageKeys): Messages {
  return {
    add: ({ org, message, digest, receipt, at }) =>
      insert("message", { org, message, digest, receipt: keys.seal(`message\0${org}\0${message}`, receipt), at }),
    find: (org, message) => {
      const row = db.get("SELECT * FROM message WHERE org = ? AND message = ?", org, message);
      if (!row) return undefined;
      return {
        digest: text(row, "digest"),
        receipt: keys.open(`message\0${org}\0${message}`, row.receipt as Uint8Array),
      };
    },
    saw: (org, id, until) => insert("replay", { org, id, until: Math.round(until) }),
    hasSeen: (org, id) => db.get("SELECT 1 FROM replay WHERE org = ? AND id = ?", org, id) !== undefined,
    expire: (now) => change("DELETE FROM replay WHERE until < ?", Math.round(now)),
    took: (destination, key, at) =>
      insert("ledger", { destination, key, at }, " ON CONFLICT (destination, key) DO NOTHING"),
    forgot: (destination, key) => change("DELETE FROM ledger WHERE destination = ? AND key = ?", destination, key),
    hasTaken: (destination, key) =>
      db.get("SELECT 1 FROM ledger WHERE destination = ? AND key = ?", destination, key) !== undefined,
  };
}

export function openEntries(db: Database, keys: StorageKeys): Entries {
  const read = (row: Row): EntryRow => {
    const id = text(row, "id");
    const list = (sql: string) => db.all(sql, id).map((each) => text(each, "token"));
    return {
      id,
      org: text(row, "org"),
      key: text(row, "key"),
      patients: list(
        "SELECT token FROM patient JOIN entry_patient ON entry_patient.patient = patient.number WHERE entry = ?",
      ),
      references: list("SELECT reference AS token FROM entry_reference WHERE entry = ?"),
      form: text(row, "form"),
      status: text(row, "status") as EntryStatus,
      createdAt: text(row, "created_at"),
      manifestSha256: text(row, "manifest_sha256"),
      entry: openJson(keys, "entry", id, "entry", row),
    };
  };
  return {
    add: ({ patients, references, ...row }) => [
      insert("entry", {
        id: row.id,
        org: row.org,
        key: row.key,
        form: row.form,
        status: row.status,
        created_at: row.createdAt,
        manifest_sha256: row.manifestSha256,
        entry: sealJson(keys, "entry", row.id, "entry", row.entry),
      }),
      ...[...new Set(patients)].flatMap((token) => [
        // A random number stands between tokens and entries, so that a rotation rewrites one table (exchange.md).
        insert("patient", { token, number: randomBytes(16).toString("hex") }, " ON CONFLICT (token) DO NOTHING"),
        change(
          "INSERT OR IGNORE INTO entry_patient (patient, created_at, entry) SELECT number, ?, ? FROM patient WHERE token = ?",
          row.createdAt,
          row.id,
          token,
        ),
      ]),
      ...[...new Set(references)].map((reference) =>
        insert("entry_reference", { reference, created_at: row.createdAt, entry: row.id }),
      ),
    ],
    status: (id, status) => update("entry", "id", id, { status }),
    byKey: (key) => {
      const row = db.get("SELECT * FROM entry WHERE key = ?", key);
      return row ? read(row) : undefined;
    },
    find: ({ patients, references, forms, status, since, after, limit }) =>
      db.all(findSql, ...findParams({ patients, references, forms, status, since, after, limit })).map(read),
    count: () => Number(db.get("SELECT count(*) AS n FROM entry")?.n ?? 0),
  };
}

/** Newest first; every condition that was not asked for is a null. Patients and references are index lookups. */
export const findSql = `
  SELECT DISTINCT entry.* FROM entry
  WHERE id IN (
      SELECT entry FROM entry_patient WHERE patient IN (
        SELECT number FROM patient WHERE token IN (SELECT value FROM json_each(?1)))
      UNION SELECT entry FROM entry_reference WHERE reference IN (SELECT value FROM json_each(?2)))
    AND (?3 IS NULL OR form IN (SELECT value FROM json_each(?3)))
    AND (?4 IS NULL OR status = ?4)
    AND (?5 IS NULL OR created_at >= ?5)
    AND (?6 IS NULL OR (created_at, id) < (SELECT created_at, id FROM entry WHERE id = ?6))
  ORDER BY created_at DESC, id DESC LIMIT ?7`;

type Find = { [K in keyof Parameters<Entries["find"]>[0]]: Parameters<Entries["find"]>[0][K] | undefined };

const findParams = ({ patients = [], references = [], forms, status, since, after, limit }: Find) => [
  JSON.stringify(patients),
  JSON.stringify(references),
  forms ? JSON.stringify(forms) : null,
  status ?? null,
  since ?? null,
  after ?? null,
  limit ?? null,
];
