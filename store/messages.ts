/** What was seen: messages with their receipts, replays, the delivery ledger. */
import type { StorageKeys } from "./keys.ts";
import type { Patterns } from "./patterns.ts";
import { text } from "./rows.ts";
import { change, type Database, failsWhere, insert } from "./sqlite.ts";
import type { Change, Id } from "./store.ts";

export type Messages = {
  /** (org, message) is unique: STORE_CONFLICT on the second. `receipt` is sealed at rest. */
  add(row: {
    readonly org: string;
    readonly message: Id;
    readonly digest: string;
    readonly receipt: Uint8Array;
    readonly at: string;
  }): readonly Change[];
  find(org: string, message: Id): { readonly digest: string; readonly receipt: Uint8Array } | undefined;
  /** Replay row: (org, id) is unique. `until` in milliseconds since 1970. */
  saw(org: string, id: Id, until: number): Change;
  hasSeen(org: string, id: Id): boolean;
  /** Drops replay rows that ended, so many at most, the oldest first; no change where none has. */
  expire(now: number, limit: number): readonly Change[];
  /**
   * Delivery ledger: a document or instance that a destination has taken. A repetition changes nothing. In the place of a destination
   * stands the name of what else happens once: a `retrieval`, or that a document was `cancelled` or `withdrawn`.
   */
  took(destination: string, key: string, at: string): Change;
  /** The same of several. */
  tookAll(destination: string, keys: readonly string[], at: string): Change;
  /** Takes it out again. */
  forgot(destination: string, key: string): Change;
  hasTaken(destination: string, key: string): boolean;
  /** What follows `name` and a space in the keys that begin so; eight at most. */
  takenUnder(destination: string, name: string): readonly string[];
  /** Fails with STORE_CONFLICT where it has. */
  hasNotTaken(destination: string, key: string): Change;
  /** The same where it has taken anything under a name but these. */
  hasNoOtherUnder(destination: string, name: string, those: readonly string[]): Change;
};

/** One statement, however many there are. */
const tookAllSql = `INSERT INTO ledger (destination, key, at) SELECT ?1, value, ?2 FROM json_each(?3) WHERE true
  ON CONFLICT (destination, key) DO NOTHING`;

/** `!` comes right behind the space. */
export const takenUnderSql =
  "SELECT key FROM ledger WHERE destination = ? AND key > ? AND key < ? ORDER BY key LIMIT +?";
const most = 8;

const hasNoOtherUnderSql = failsWhere(
  "EXISTS (SELECT 1 FROM ledger WHERE destination = ? AND key > ? AND key < ? AND key NOT IN (SELECT value FROM json_each(?)))",
);
const hasNotTakenSql = failsWhere("EXISTS (SELECT 1 FROM ledger WHERE destination = ? AND key = ?)");

export const expireSql = `DELETE FROM replay WHERE (org, id) IN
  (SELECT org, id FROM replay INDEXED BY replay_until WHERE until < ? ORDER BY until LIMIT +?)`;

export function openMessages(db: Database, keys: StorageKeys, patterns: Patterns): Messages {
  return {
    add: ({ org, message, digest, receipt, at }) => {
      const { octets, changes } = patterns.pack(`receipt ${org}`, receipt);
      const sealed = keys.seal(`message\0${org}\0${message}`, octets);
      return [...changes, insert("message", { org, message, digest, receipt: sealed, at })];
    },
    find: (org, message) => {
      const row = db.get("SELECT * FROM message WHERE org = ? AND message = ?", org, message);
      if (!row) return undefined;
      return {
        digest: text(row, "digest"),
        receipt: patterns.unpack(keys.open(`message\0${org}\0${message}`, row.receipt as Uint8Array)),
      };
    },
    saw: (org, id, until) => insert("replay", { org, id, until: Math.round(until) }),
    hasSeen: (org, id) => db.get("SELECT 1 FROM replay WHERE org = ? AND id = ?", org, id) !== undefined,
    expire: (now, limit) =>
      db.get("SELECT 1 FROM replay WHERE until < ? LIMIT 1", Math.round(now))
        ? [change(expireSql, Math.round(now), limit)]
        : [],
    took: (destination, key, at) =>
      insert("ledger", { destination, key, at }, " ON CONFLICT (destination, key) DO NOTHING"),
    tookAll: (destination, keys, at) => change(tookAllSql, destination, at, JSON.stringify(keys)),
    forgot: (destination, key) => change("DELETE FROM ledger WHERE destination = ? AND key = ?", destination, key),
    hasTaken: (destination, key) =>
      db.get("SELECT 1 FROM ledger WHERE destination = ? AND key = ?", destination, key) !== undefined,
    takenUnder: (destination, name) =>
      db
        .all(takenUnderSql, destination, `${name} `, `${name}!`, most)
        .map((row) => text(row, "key").slice(name.length + 1)),
    hasNotTaken: (destination, key) => change(hasNotTakenSql, destination, key),
    hasNoOtherUnder: (destination, name, those) =>
      change(
        hasNoOtherUnderSql,
        destination,
        `${name} `,
        `${name}!`,
        JSON.stringify(those.map((each) => `${name} ${each}`)),
      ),
  };
}
