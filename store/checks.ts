/** What can be checked without keys: the database file against itself, the accept journal's chain, rows against the blobs they name. */
import { walkJournal } from "./accept-journal.ts";
import type { Database } from "./sqlite.ts";
import type { Acceptance, BlobName, Id } from "./store.ts";

/** What the index and the accept journal say of each other, and of themselves. */
export type Checks = {
  /** One line of text for everything that is wrong in the database file; empty when it is whole. */
  index(): readonly string[];
  /** Every acceptance since the first, from the accept journal; STORE_DAMAGED where its chain does not hold. */
  acceptances(): Iterable<Acceptance>;
  /** Blobs that a row names and the index lacks. */
  dangling(limit: number): readonly { readonly blob: BlobName; readonly id: Id }[];
};

const danglingSql = `
  SELECT id, blob FROM (
    SELECT id, blob FROM arrival WHERE blob IS NOT NULL
    UNION ALL SELECT id, blob FROM item
    UNION ALL SELECT record.id, part.value ->> 'blob' FROM record, json_each(record.parts) AS part)
  WHERE NOT EXISTS (SELECT 1 FROM blob WHERE name = blob) LIMIT ?`;

/** `journal` is the path of the accept journal. */
export function openChecks(db: Database, journal: string): Checks {
  return {
    index: () =>
      db
        .all("PRAGMA integrity_check(100)")
        .map((row) => String(row.integrity_check))
        .filter((line) => line !== "ok"),
    acceptances: () => walkJournal(journal),
    dangling: (limit) => db.all(danglingSql, limit).map((row) => ({ blob: String(row.blob), id: String(row.id) })),
  };
}
