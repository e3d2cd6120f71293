/** What authors have told of documents that they are about to push: each is to another one of theirs. Gone with the record, or soon. */
import type { StorageKeys } from "./keys.ts";
import { openJson, sealJson } from "./rows.ts";
import { change, type Database, insert } from "./sqlite.ts";
import type { Change, Token } from "./store.ts";

export type RelationRow = {
  readonly org: string;
  /** Token of the document's uniqueId. */
  readonly key: Token;
  /** ISO 8601. */
  readonly at: string;
  /** Sealed at rest. */
  readonly facts: unknown;
};

export type Relations = {
  /** In the place of what its author said before; of more than 1,000 of one author the oldest go. */
  add(row: RelationRow): readonly Change[];
  /** What the author said; undefined where it said nothing. */
  find(org: string, key: Token): unknown;
  drop(org: string, key: Token): Change;
  /** Drops what was told before this time; no change where nothing was. */
  expire(before: string): readonly Change[];
};

const maxOfOne = 1_000;

const overSql = `DELETE FROM relation WHERE org = ?1
  AND (at, key) < (SELECT at, key FROM relation WHERE org = ?1 ORDER BY at DESC, key DESC LIMIT 1 OFFSET ${maxOfOne - 1})`;

export function openRelations(db: Database, keys: StorageKeys): Relations {
  const idOf = (org: string, key: Token): string => `${org} ${key}`;
  return {
    add: ({ org, key, at, facts }) => [
      insert(
        "relation",
        { org, key, at, facts: sealJson(keys, "relation", idOf(org, key), "facts", facts) },
        " ON CONFLICT (org, key) DO UPDATE SET at = excluded.at, facts = excluded.facts",
      ),
      change(overSql, org),
    ],
    find: (org, key) => {
      const row = db.get("SELECT facts FROM relation WHERE org = ? AND key = ?", org, key);
      return row && openJson(keys, "relation", idOf(org, key), "facts", row);
    },
    drop: (org, key) => change("DELETE FROM relation WHERE org = ? AND key = ?", org, key),
    expire: (before) =>
      db.get("SELECT 1 FROM relation WHERE at < ? LIMIT 1", before)
        ? [change("DELETE FROM relation WHERE at < ?", before)]
        : [],
  };
}
