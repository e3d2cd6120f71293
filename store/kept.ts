/** Retention: how many octets the records of each channel take, and how a finished record becomes a tombstone. */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { pathOf } from "./blank-files.ts";
import { idDigits } from "./kept-arrivals.ts";
import type { StorageKeys } from "./keys.ts";
import { sealJson, text } from "./rows.ts";
import { change, type Database, failsWhere, overwriting, type Row } from "./sqlite.ts";
import type { Change, Id } from "./store.ts";

export type KeptRecord = {
  readonly record: Id;
  readonly channel: string;
  /** When it was made (ISO 8601). */
  readonly at: string;
  /** Of its parts as they are kept. */
  readonly bytes: number;
};
/** What stays of the sealed facts of a record's rows: nothing of a patient. */
export type Husk = { readonly record: unknown; readonly items: Readonly<Record<Id, unknown>> };

export type Kept = {
  /** Octets by channel; a blob that two records share counts for both. */
  bytes(): Readonly<Record<string, number>>;
  /** Counts the next records that were not counted yet; empty when all are. */
  count(limit: number): readonly Change[];
  /** Records behind one of them, oldest first, made before a time, that nobody waits for: none held, none of their deliveries open or parked. */
  finished(query: {
    readonly channel: string;
    readonly before: string;
    readonly after?: KeptRecord | undefined;
    readonly limit: number;
  }): readonly KeptRecord[];
  /**
   * Its keys and blobs go, unless another record needs them or they were used again since `pinned` (ISO 8601); what is
   * sealed is overwritten, patients' tokens are dropped; states, ids, times and proofs stay. STORE_CONFLICT where somebody
   * has begun to wait for it meanwhile. `files` are to be removed after the commit.
   */
  shred(
    row: KeptRecord,
    husk: Husk,
    pinned: string,
  ): { readonly changes: readonly Change[]; readonly files: readonly string[] };
  /** Removes files of blobs that are gone. */
  remove(files: readonly string[]): Promise<void>;
};

/** Records made since the last count are looked at one by one: more of them come into the figure with that count. */
const maxUncounted = 1_000;
const open = "state IN ('queued', 'inflight', 'ambiguous', 'parked')";
const isOpen = (record: string): string => `EXISTS (SELECT 1 FROM delivery WHERE record = ${record} AND ${open})`;

export const finishedSql = `
  SELECT record, channel, at, bytes FROM kept INDEXED BY kept_order
  WHERE channel = ?1 AND at < ?2 AND (at, record) > (?3, ?4) AND bytes IS NOT NULL AND NOT ${isOpen("kept.record")}
  ORDER BY at, record LIMIT +?5`;

const guardSql = failsWhere(isOpen("?1"));

/** The same octets under what was discarded before they came again, or was refused, stay until its own retention is over. */
const elsewhereSql = `
  SELECT other.blob FROM item AS own JOIN item AS other ON other.kind = own.kind AND other.key = own.key
    WHERE own.record = ?1 AND other.record IS NOT ?1
  UNION ALL SELECT arrival.blob FROM item AS own JOIN arrival ON arrival.control_id = own.key
    WHERE own.record = ?1 AND own.kind = 'instance' AND arrival.id <> own.arrival AND arrival.blob IS NOT NULL`;

const goneSql = `SELECT name, file FROM blob WHERE name IN (SELECT part.value ->> 'blob' FROM record, json_each(record.parts) AS part WHERE record.id = ?1)
  AND NOT EXISTS (SELECT 1 FROM kept_blob WHERE kept_blob.blob = name AND kept_blob.record <> ?1
    AND (kept_blob.record < '~' OR kept_blob.record >= '~' || ?2))
  AND name NOT IN (${elsewhereSql})`;

/** The body of a message, or what is left of it, is in no record: it goes with the first that was made of it. The same octets have the same control id. */
const bodySql = `DELETE FROM blob WHERE name = (SELECT blob FROM arrival WHERE id = ?1) AND (length(name) = ${idDigits} OR NOT (
  EXISTS (SELECT 1 FROM kept_blob WHERE kept_blob.blob = name AND (record < '~' OR record >= '~' || ?2))
  OR EXISTS (SELECT 1 FROM arrival AS own JOIN arrival AS other ON other.control_id = own.control_id
    WHERE own.id = ?1 AND other.id <> ?1 AND other.blob = name)))`;
const bodyFilesSql = `SELECT file FROM arrival JOIN blob ON name = arrival.blob
  WHERE arrival.id IN (SELECT value FROM json_each(?)) AND file IS NOT NULL`;

/** No search finds it by its patient or accession number any more. */
const forgetSql = `DELETE FROM found WHERE subject = ?1 AND token IN (
  SELECT value FROM json_each(?2) UNION ALL SELECT substr(value, 11) FROM json_each(?3) WHERE value LIKE 'accession:%')`;

export function openKept(db: Database, keys: StorageKeys, folder: string): Kept {
  const read = (row: Row): KeptRecord => ({
    record: text(row, "record"),
    channel: text(row, "channel"),
    at: text(row, "at"),
    bytes: Number(row.bytes),
  });
  const add = (channel: string, bytes: number): Change =>
    change(
      "INSERT INTO kept_bytes (channel, bytes) VALUES (?, ?) ON CONFLICT (channel) DO UPDATE SET bytes = bytes + excluded.bytes",
      channel,
      bytes,
    );
  return {
    bytes: () => {
      const sums = new Map(
        db.all("SELECT * FROM kept_bytes WHERE channel < '~'").map((row) => [text(row, "channel"), Number(row.bytes)]),
      );
      for (const { channel, bytes } of db.all(uncountedSql, maxUncounted).map(read))
        sums.set(channel, (sums.get(channel) ?? 0) + bytes);
      return Object.fromEntries(sums);
    },
    count: (limit) =>
      db.all(uncountedSql, limit).flatMap((row) => {
        const { record, channel, bytes } = read(row);
        return [change("UPDATE kept SET bytes = ? WHERE record = ?", bytes, record), add(channel, bytes)];
      }),
    finished: ({ channel, before, after, limit }) =>
      db.all(finishedSql, channel, before, after?.at ?? "", after?.record ?? "", limit).map(read),
    shred: ({ record, channel, bytes }, husk, pinned) => {
      const gone = db.all(goneSql, record, pinned);
      const names = JSON.stringify(gone.map((row) => row.name));
      const items = db.all("SELECT id, arrival, joins, patients FROM item WHERE record = ?", record);
      const bodies = db.all(bodyFilesSql, JSON.stringify(items.map((row) => row.arrival)));
      const deliveries = db.all("SELECT id FROM delivery WHERE record = ?", record).map((row) => text(row, "id"));
      const nothing = (column: string): Uint8Array => keys.seal(`record\0${record}\0${column}`, new Uint8Array());
      const changes = [
        change(guardSql, record),
        ...overwriting([
          change("DELETE FROM blob WHERE name IN (SELECT value FROM json_each(?))", names),
          change("DELETE FROM kept_blob WHERE blob IN (SELECT value FROM json_each(?))", names),
          change(
            "DELETE FROM kept_blob WHERE record = ?1 AND blob IN (SELECT part.value ->> 'blob' FROM record, json_each(record.parts) AS part WHERE record.id = ?1)",
            record,
          ),
          ...items.flatMap((row) => {
            const [id, arrival] = [text(row, "id"), text(row, "arrival")];
            return [
              change(forgetSql, arrival, text(row, "patients"), text(row, "joins")),
              change(
                "DELETE FROM item_join WHERE item = ? AND value IN (SELECT value FROM json_each(?))",
                id,
                text(row, "joins"),
              ),
              change(
                "UPDATE item SET blob = '', joins = '[]', patients = '[]', facts = ? WHERE id = ?",
                sealJson(keys, "item", id, "facts", husk.items[id]),
                id,
              ),
              change(bodySql, arrival, pinned),
              change(
                `DELETE FROM kept_blob WHERE blob = (SELECT blob FROM arrival WHERE id = ?) AND NOT EXISTS
                (SELECT 1 FROM blob WHERE name = kept_blob.blob)`,
                arrival,
              ),
              change(
                "UPDATE arrival SET blob = NULL, facts = ? WHERE id = ?",
                sealJson(keys, "arrival", arrival, "facts", null),
                arrival,
              ),
            ];
          }),
          ...deliveries.map((id) =>
            change(
              "UPDATE delivery SET sequence = NULL, payload = ? WHERE id = ?",
              sealJson(keys, "delivery", id, "payload", null),
              id,
            ),
          ),
          change(
            "DELETE FROM found WHERE subject = ?1 AND token IN (SELECT value FROM record, json_each(record.patients) WHERE record.id = ?1)",
            record,
          ),
          change(
            "UPDATE record SET manifest = ?, signature = ?, parts = '[]', patients = '[]', entry = ? WHERE id = ?",
            nothing("manifest"),
            nothing("signature"),
            sealJson(keys, "record", record, "entry", husk.record),
            record,
          ),
          change("DELETE FROM kept WHERE record = ?", record),
          add(channel, -bytes),
        ]),
      ];
      return { changes, files: [...gone, ...bodies].flatMap((row) => (row.file === null ? [] : [text(row, "file")])) };
    },
    remove: async (files) => {
      for (const file of files)
        if (db.get("SELECT 1 FROM blob WHERE file = ?", file) === undefined)
          await rm(pathOf(join(folder, "blobs"), file), { force: true });
    },
  };
}

const uncountedSql = `SELECT kept.record, kept.channel, kept.at, (SELECT coalesce(sum(size), 0) FROM json_each(record.parts) AS part
    JOIN blob ON blob.name = part.value ->> 'blob') AS bytes
  FROM kept INDEXED BY kept_uncounted JOIN record ON record.id = kept.record WHERE kept.bytes IS NULL LIMIT +?`;
