/**
 * What patients allow, as the house that gives their id says: rows that are never changed; a later one is above an earlier, and goes
 * in with the end of those of which nothing is left to decide. The audit log has them all.
 */
import type { StorageKeys } from "./keys.ts";
import { momentSql, tick } from "./moment.ts";
import { openJson, sealJson, text } from "./rows.ts";
import { change, type Database } from "./sqlite.ts";
import type { Change, Id, Token } from "./store.ts";

export type ConsentRow = {
  readonly id: Id;
  readonly patient: Token;
  /** Who said so. */
  readonly org: string;
  /** ISO 8601. */
  readonly at: string;
  /** Sealed at rest. */
  readonly facts: unknown;
};

export type Consents = {
  /** A row, and the end of those that it leaves nothing to. */
  add(row: ConsentRow, ended?: readonly Id[]): readonly Change[];
  /** What holds for any of these ids, the latest last. */
  of(patients: readonly Token[]): readonly Pick<ConsentRow, "id" | "facts">[];
};

export function openConsents(db: Database, keys: StorageKeys): Consents {
  return {
    add: ({ id, patient, org, at, facts }, ended = []) => [
      tick,
      change(
        `INSERT INTO consent (n, id, patient, org, at, facts) VALUES (${momentSql}, ?, ?, ?, ?, ?)`,
        ...[id, patient, org, at, sealJson(keys, "consent", id, "facts", facts)],
      ),
      ...ended.map((each) => change("DELETE FROM consent WHERE id = ?", each)),
    ],
    of: (patients) =>
      db
        .all(
          "SELECT * FROM consent WHERE patient IN (SELECT value FROM json_each(?)) ORDER BY n",
          JSON.stringify(patients),
        )
        .map((row) => ({ id: text(row, "id"), facts: openJson(keys, "consent", text(row, "id"), "facts", row) })),
  };
}
