/** Patients that are one: an id that was merged into another is an alias row. Nothing is rewritten, so a merge can be undone. */
import type { StorageKeys } from "./keys.ts";
import { momentSql, tick } from "./moment.ts";
import { openJson, sealJson, text } from "./rows.ts";
import { change, type Database, type Row } from "./sqlite.ts";
import type { Change, Token } from "./store.ts";

export type MergeRow = {
  /** The id that is used no more, and the one that stands for its patient. */
  readonly prior: Token;
  readonly surviving: Token;
  /** ISO 8601. */
  readonly at: string;
  /** Sealed at rest. */
  readonly facts: unknown;
};

export type Merges = {
  /** A repetition renews it. */
  add(row: MergeRow): readonly Change[];
  /** That these two were merged, whichever into which, is taken back. */
  undo(ids: readonly [Token, Token]): readonly Change[];
  /** These ids and all that were merged with one of them, in whichever order and direction; `moment`: by then (`Entries.moment`). */
  same(patients: readonly Token[], moment?: number): readonly Token[];
  /** The merges among these ids and all that `same` gives, the newest last; none of a patient who was erased. */
  of(patients: readonly Token[]): readonly MergeRow[];
  /** What their merges say is gone; that the ids are of one patient stays. */
  forget(patients: readonly Token[]): readonly Change[];
};

/** Ids of one patient that are followed. */
const maxSame = 1_000;

const sameSql = `
  WITH RECURSIVE same (token) AS (
    SELECT value FROM json_each(?1)
    UNION
    SELECT iif(merge.prior = same.token, merge.surviving, merge.prior) FROM same
    JOIN merge ON (merge.prior = same.token OR merge.surviving = same.token) AND (?2 IS NULL OR merge.n <= ?2)
    LIMIT ${maxSame})`;

const mergedSql = "SELECT 1 FROM merge WHERE prior = ?1 OR surviving = ?1";

export function openMerges(db: Database, keys: StorageKeys): Merges {
  const idOf = ({ prior, surviving }: Pick<MergeRow, "prior" | "surviving">): string => `${prior} ${surviving}`;
  const read = (row: Row): MergeRow => {
    const [prior, surviving] = [text(row, "prior"), text(row, "surviving")];
    const facts = openJson(keys, "merge", idOf({ prior, surviving }), "facts", row);
    return { prior, surviving, at: text(row, "at"), facts };
  };
  const ids = (patients: readonly Token[]): string => JSON.stringify([...new Set(patients)]);
  return {
    add: ({ facts, ...row }) => [
      tick,
      change(
        `INSERT INTO merge (prior, surviving, at, facts, n) VALUES (?, ?, ?, ?, ${momentSql})
          ON CONFLICT (prior, surviving) DO UPDATE SET at = excluded.at, facts = excluded.facts`,
        row.prior,
        row.surviving,
        row.at,
        sealJson(keys, "merge", idOf(row), "facts", facts),
      ),
    ],
    undo: ([one, other]) =>
      [
        [one, other],
        [other, one],
      ].map((pair) => change("DELETE FROM merge WHERE prior = ? AND surviving = ?", ...pair)),
    same: (patients, moment) =>
      // Hardly any patient is merged: to ask for each costs a third of the recursion.
      patients.every((token) => db.get(mergedSql, token) === undefined)
        ? [...new Set(patients)]
        : db.all(`${sameSql} SELECT token FROM same`, ids(patients), moment ?? null).map((row) => text(row, "token")),
    of: (patients) =>
      db
        .all(
          `${sameSql} SELECT * FROM merge WHERE prior IN (SELECT token FROM same) AND facts <> x'' ORDER BY at, rowid`,
          ids(patients),
          null,
        )
        .map(read),
    forget: (patients) =>
      ["prior", "surviving"].map((column) =>
        change(`UPDATE merge SET facts = x'' WHERE ${column} IN (SELECT value FROM json_each(?))`, ids(patients)),
      ),
  };
}
