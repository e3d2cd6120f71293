/**
 * Retention of documents and instances that ended without a record: which have octets, and how they lose them, with what is left of the
 * message they came in; their rows stay.
 */
import { isNeeded } from "./kept-arrivals.ts";
import type { StorageKeys } from "./keys.ts";
import { sealJson, text, textOrNull } from "./rows.ts";
import { change, type Database, overwriting } from "./sqlite.ts";
import type { BlobName, Change, Id, Item } from "./store.ts";

export type EndedItem = {
  readonly item: Pick<Item, "id" | "kind" | "arrival" | "blob" | "joins" | "patients">;
  /** What stays of its facts: nothing of a patient. */
  readonly husk: unknown;
  /** What came beside it. */
  readonly attachments: readonly BlobName[];
};

export type KeptItems = {
  /** Those that were discarded, by id (which is a time), oldest first; `isOver`: it has octets. */
  discarded(query: {
    readonly kind: Item["kind"];
    readonly before: Id;
    readonly after: Id;
    readonly limit: number;
  }): readonly { readonly id: Id; readonly isOver: boolean }[];
  /**
   * Keys, octets, tokens and sealed facts go, of those that are still discarded when it is committed; a blob that anything else names
   * stays. One whose attachment came again since `pinned` (ISO 8601) is left for later: whoever has that may not have gone yet, and nobody
   * finds them. `files` are to be removed after the commit.
   */
  shred(
    ended: readonly EndedItem[],
    pinned: string,
  ): { readonly changes: readonly Change[]; readonly files: readonly string[]; readonly count: number };
};

export const discardedSql = `
  SELECT id, blob <> '' AS is_over FROM item INDEXED BY item_state
  WHERE state = 'discarded' AND kind = ? AND id < ? AND id > ? ORDER BY id LIMIT +?`;

const waitsSql = `SELECT 1 FROM kept_blob AS own WHERE blob IN (SELECT value FROM json_each(?1)) AND record >= ?2
  AND NOT EXISTS (SELECT 1 FROM kept_blob WHERE blob = own.blob AND record < '~') LIMIT 1`;

// ?1 is the arrival, ?2 the item, ?3 since when a blob that came again stays. One that waits again meanwhile keeps its blob, and is not meant.
const huskSql =
  "UPDATE item SET blob = '', joins = '[]', patients = '[]', facts = ?1 WHERE id = ?2 AND state = 'discarded'";
const isMeant = "EXISTS (SELECT 1 FROM item WHERE id = ?2 AND state = 'discarded' AND blob = '')";

/** What another document of its message is found by stays. */
const forgetSql = `DELETE FROM found WHERE subject = ?1 AND token IN (SELECT value FROM json_each(?3)) AND ${isMeant} AND token NOT IN (
  SELECT value FROM item, json_each(item.patients) WHERE item.arrival = ?1
  UNION ALL SELECT substr(value, 11) FROM item, json_each(item.joins) WHERE item.arrival = ?1 AND value LIKE 'accession:%')`;
const partSql = `DELETE FROM item_join WHERE value IN (SELECT value FROM json_each(?3)) AND kind = ?1 AND item = ?2 AND ${isMeant}`;
const leaveSql = `UPDATE arrival SET blob = NULL, facts = x'' WHERE id = ?1 AND ${isMeant}
  AND NOT EXISTS (SELECT 1 FROM item WHERE arrival = ?1 AND blob <> '')`;

/** Its own octets and those of its message. The same octets are of the same document or instance. */
const octetsSql = `DELETE FROM blob WHERE name IN (SELECT value FROM json_each(?4)) AND ${isMeant} AND NOT (${isNeeded}
  OR EXISTS (SELECT 1 FROM arrival WHERE id = ?1 AND arrival.blob = name)
  OR EXISTS (SELECT 1 FROM item AS own JOIN item AS other ON other.kind = own.kind AND other.key = own.key
    WHERE own.id = ?2 AND other.blob = name))`;
const attachmentsSql = `DELETE FROM blob WHERE name IN (SELECT value FROM json_each(?4)) AND ${isMeant}
  AND NOT EXISTS (SELECT 1 FROM kept_blob WHERE kept_blob.blob = name AND (record < '~' OR record >= ?3))`;
const unpinSql = `DELETE FROM kept_blob WHERE blob IN (SELECT value FROM json_each(?)) AND record >= '~'
  AND NOT EXISTS (SELECT 1 FROM blob WHERE name = kept_blob.blob)`;

export function openKeptItems(db: Database, keys: StorageKeys): KeptItems {
  const shredOne = (
    { item, husk, attachments }: EndedItem,
    body: BlobName | null,
    pinned: string,
  ): readonly Change[] => {
    const { id, kind, arrival, joins, patients } = item;
    const accessions = joins.filter((join) => join.startsWith("accession:")).map((join) => join.slice(10));
    const octets = [item.blob, ...(body === null ? [] : [body])];
    return [
      change(huskSql, sealJson(keys, "item", id, "facts", husk), id),
      change(forgetSql, arrival, id, JSON.stringify([...patients, ...accessions])),
      change(partSql, kind, id, JSON.stringify(joins)),
      change(leaveSql, arrival, id),
      change(octetsSql, arrival, id, pinned, JSON.stringify(octets)),
      ...(attachments.length > 0 ? [change(attachmentsSql, arrival, id, pinned, JSON.stringify(attachments))] : []),
      change(unpinSql, JSON.stringify([...octets, ...attachments])),
    ];
  };
  return {
    discarded: ({ kind, before, after, limit }) =>
      db
        .all(discardedSql, kind, before, after, limit)
        .map((row) => ({ id: text(row, "id"), isOver: row.is_over === 1 })),
    shred: (ended, since) => {
      const pinned = `~${since}`;
      const over = ended.filter(
        ({ attachments }) =>
          attachments.length === 0 || db.get(waitsSql, JSON.stringify(attachments), pinned) === undefined,
      );
      const arrivals = JSON.stringify(over.map(({ item }) => item.arrival));
      const bodies = new Map(
        db
          .all("SELECT id, blob FROM arrival WHERE id IN (SELECT value FROM json_each(?))", arrivals)
          .map((row) => [text(row, "id"), textOrNull(row, "blob")]),
      );
      const bodyOf = ({ item }: EndedItem): BlobName | null => bodies.get(item.arrival) ?? null;
      const names = over.flatMap((each) => [each.item.blob, bodyOf(each), ...each.attachments]);
      const files = db.all(
        "SELECT file FROM blob WHERE name IN (SELECT value FROM json_each(?)) AND file IS NOT NULL",
        JSON.stringify(names),
      );
      return {
        changes: overwriting(over.flatMap((each) => shredOne(each, bodyOf(each), pinned))),
        files: files.map((row) => text(row, "file")),
        count: over.length,
      };
    },
  };
}
