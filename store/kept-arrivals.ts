/**
 * Retention of arrivals of which nothing goes on, or no document and no instance was made: which have octets, and how they lose
 * them; their rows stay.
 */
import { text } from "./rows.ts";
import { change, type Database, overwriting } from "./sqlite.ts";
import type { Change, Id } from "./store.ts";

/** How an arrival ended of which nothing goes on. */
export type EndedState = "refused" | "filtered";
/** `bytes`: as they are kept; null until they are counted. */
export type KeptArrival = { readonly id: Id; readonly bytes: number | null };

export type KeptArrivals = {
  /** Octets of those that were counted. */
  bytes(state: EndedState): number;
  /** Counts the next that were not counted yet; empty when all are. */
  count(state: EndedState, limit: number): readonly Change[];
  /** Those that have octets, with ids (which are times) before one and behind another, oldest first. */
  oldest(query: {
    readonly state: EndedState;
    readonly before: Id;
    readonly after: Id;
    readonly limit: number;
  }): readonly KeptArrival[];
  /**
   * Those that were taken, by id (which is a time), oldest first; `isOver`: it has octets, and neither a document nor an instance was made
   * of it, such as an admission. They are looked for, since a row for each would cost every message that is taken.
   */
  taken(query: {
    readonly before: Id;
    readonly after: Id;
    readonly limit: number;
  }): readonly { readonly id: Id; readonly isOver: boolean }[];
  /**
   * Keys, octets and sealed facts go, of those that are in this state when it is committed; a blob that anything else names
   * stays. `files` are to be removed after the commit.
   */
  shred(
    state: EndedState | "done",
    ids: readonly Id[],
    pinned: string,
  ): { readonly changes: readonly Change[]; readonly files: readonly string[] };
};

/** A blob under an id is of one row; others have names of digests, which are longer. */
export const idDigits = 32;
/** What all the statements below have: ?1 the arrival, ?2 its state. */
const isMeant = `(EXISTS (SELECT 1 FROM kept_arrival WHERE state = ?2 AND arrival = ?1) OR (?2 = 'done'
  AND EXISTS (SELECT 1 FROM arrival WHERE id = ?1 AND state = 'done')
  AND NOT EXISTS (SELECT 1 FROM item WHERE item.arrival = ?1)))`;
const mine = "(SELECT blob FROM arrival WHERE id = ?1)";
/**
 * Whether a record, an instance or another arrival needs a blob that arrival ?1 had. The same octets have the same control id, which
 * finds who else has them. Without one nobody is found: there a blob that came again since ?3 stays.
 */
export const isNeeded = `
  EXISTS (SELECT 1 FROM kept_blob WHERE kept_blob.blob = name AND record < '~')
  OR EXISTS (SELECT 1 FROM item JOIN arrival ON arrival.id = ?1 AND arrival.control_id = item.key
    WHERE item.kind = 'instance' AND item.blob = name)
  OR CASE (SELECT control_id FROM arrival WHERE id = ?1)
    WHEN '' THEN EXISTS (SELECT 1 FROM kept_blob WHERE kept_blob.blob = name AND record >= ?3)
    ELSE EXISTS (SELECT 1 FROM arrival AS own JOIN arrival AS other ON other.control_id = own.control_id
      WHERE own.id = ?1 AND other.id <> ?1 AND other.blob = name) END`;

const oldestSql = `
  SELECT arrival, bytes FROM kept_arrival WHERE state = ? AND arrival < ? AND arrival > ? ORDER BY arrival LIMIT +?`;
const takenSql = `
  SELECT id, blob IS NOT NULL AND NOT EXISTS (SELECT 1 FROM item WHERE item.arrival = arrival.id) AS is_over
  FROM arrival INDEXED BY arrival_state WHERE state = 'done' AND id < ? AND id > ? ORDER BY id LIMIT +?`;
const uncountedSql = `
  SELECT kept_arrival.arrival, coalesce(blob.size, 0) AS bytes FROM kept_arrival
    JOIN arrival ON arrival.id = kept_arrival.arrival LEFT JOIN blob ON blob.name = arrival.blob
  WHERE kept_arrival.state = ? AND kept_arrival.bytes IS NULL ORDER BY kept_arrival.arrival DESC LIMIT +?`;

export function openKeptArrivals(db: Database): KeptArrivals {
  const shredOne = (state: EndedState | "done", id: Id, pinned: string): readonly Change[] => [
    change(
      `DELETE FROM blob WHERE name = ${mine} AND ${isMeant} AND (length(name) = ${idDigits} OR NOT (${isNeeded}))`,
      id,
      state,
      `~${pinned}`,
    ),
    change(
      `DELETE FROM kept_blob WHERE blob = ${mine} AND ${isMeant} AND record >= '~'
        AND NOT EXISTS (SELECT 1 FROM blob WHERE name = kept_blob.blob)`,
      id,
      state,
    ),
    change(`UPDATE arrival SET blob = NULL, facts = x'' WHERE id = ?1 AND ${isMeant}`, id, state),
    change(
      `UPDATE kept_bytes SET bytes = bytes - (SELECT bytes FROM kept_arrival WHERE state = ?2 AND arrival = ?1)
        WHERE channel = '~' || ?2 AND EXISTS (SELECT 1 FROM kept_arrival WHERE state = ?2 AND arrival = ?1 AND bytes IS NOT NULL)`,
      id,
      state,
    ),
    change("DELETE FROM kept_arrival WHERE state = ?2 AND arrival = ?1", id, state),
  ];
  return {
    bytes: (state) => Number(db.get("SELECT bytes FROM kept_bytes WHERE channel = ?", `~${state}`)?.bytes ?? 0),
    count: (state, limit) =>
      db.all(uncountedSql, state, limit).flatMap((row) => {
        const [id, bytes] = [text(row, "arrival"), Number(row.bytes)];
        // One that was taken meanwhile is not there any more: neither statement finds it.
        return [
          change(
            `INSERT INTO kept_bytes (channel, bytes)
              SELECT '~' || state, ? FROM kept_arrival WHERE state = ? AND arrival = ? AND bytes IS NULL
              ON CONFLICT (channel) DO UPDATE SET bytes = bytes + excluded.bytes`,
            bytes,
            state,
            id,
          ),
          change(
            "UPDATE kept_arrival SET bytes = ? WHERE state = ? AND arrival = ? AND bytes IS NULL",
            bytes,
            state,
            id,
          ),
        ];
      }),
    oldest: ({ state, before, after, limit }) =>
      db.all(oldestSql, state, before, after, limit).map((row) => ({
        id: text(row, "arrival"),
        bytes: row.bytes === null ? null : Number(row.bytes),
      })),
    taken: ({ before, after, limit }) =>
      db.all(takenSql, before, after, limit).map((row) => ({ id: text(row, "id"), isOver: row.is_over === 1 })),
    shred: (state, ids, pinned) => {
      const files = db.all(
        "SELECT file FROM arrival JOIN blob ON name = arrival.blob WHERE arrival.id IN (SELECT value FROM json_each(?)) AND file IS NOT NULL",
        JSON.stringify(ids),
      );
      return {
        changes: overwriting(ids.flatMap((id) => shredOne(state, id, pinned))),
        files: files.map((row) => text(row, "file")),
      };
    },
  };
}
