/** What patients allow, as the house that gives their id says: rows that are added and never changed; a later one is above an earlier. */
import type { StorageKeys } from "./keys.ts";
import { momentSql, tick } from "./moment.ts";
import { openJson, sealJson } from "./rows.ts";
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
  add(row: ConsentRow): readonly Change[];
  /** What holds for any of these ids, the latest last. */
  of(patients: readonly Token[]): readonly unknown[];
};

export function openConsents(db: Database, keys: StorageKeys): Consents {
  return {
    add: ({ id, patient, org, at, facts }) => [
      tick,
      change(
        `INSERT INTO consent (n, id, patient, org, at, facts) VALUES (${momentSql}, ?, ?, ?, ?, ?)`,
        ...[id, patient, org, at, sealJson(keys, "consent", id, "facts", facts)],
      ),
    ],
    of: (patients) =>
      db
        .all(
          "SELECT * FROM consent WHERE patient IN (SELECT value FROM json_each(?)) ORDER BY n",
          JSON.stringify(patients),
        )
        .map((row) => openJson(keys, "consent", String(row.id), "facts", row)),
  };
}
