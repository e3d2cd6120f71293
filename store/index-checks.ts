/** What can be checked of the index in itself: it goes through every row, and page, in a thread (`checks-worker.ts`). */
import { DatabaseSync } from "node:sqlite";
import { text } from "./rows.ts";
import type { BlobName, Id } from "./store.ts";

/** A blob that a row names and the index lacks. */
export type Dangling = { readonly blob: BlobName; readonly id: Id };

const danglingSql = `
  SELECT id, blob FROM (
    SELECT id, blob FROM arrival WHERE blob IS NOT NULL
    UNION ALL SELECT id, blob FROM item WHERE blob <> ''
    UNION ALL SELECT record.id, part.value ->> 'blob' FROM record, json_each(record.parts) AS part)
  WHERE NOT EXISTS (SELECT 1 FROM blob WHERE name = blob) LIMIT +?`;

const checks = {
  index: (db: DatabaseSync): readonly string[] =>
    db
      .prepare("PRAGMA integrity_check(100)")
      .all()
      .map((row) => text(row, "integrity_check"))
      .filter((line) => line !== "ok"),
  dangling: (db: DatabaseSync, limit: number): readonly Dangling[] =>
    db
      .prepare(danglingSql)
      .all(limit)
      .map((row) => ({ blob: text(row, "blob"), id: text(row, "id") })),
} as const;

export type CheckRequest = { readonly database: string; readonly name: keyof typeof checks; readonly limit: number };

/** One of the checks; it takes as long as the index is large. */
export function checkIndex({ database, name, limit }: CheckRequest): readonly string[] | readonly Dangling[] {
  const db = new DatabaseSync(database, { readOnly: true });
  try {
    db.exec("PRAGMA busy_timeout = 5000");
    return checks[name](db, limit);
  } finally {
    db.close();
  }
}
