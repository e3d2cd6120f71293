/** What was seen: messages with their receipts, replays, the delivery ledger. */
import type { StorageKeys } from "./keys.ts";
import { text } from "./rows.ts";
import { change, type Database, insert } from "./sqlite.ts";
import type { Messages } from "./store.ts";

export function openMessages(db: Database, keys: StorageKeys): Messages {
  return {
    add: ({ org, message, digest, receipt, at }) =>
      insert("message", { org, message, digest, receipt: keys.seal(`message\0${org}\0${message}`, receipt), at }),
    find: (org, message) => {
      const row = db.get("SELECT * FROM message WHERE org = ? AND message = ?", org, message);
      if (!row) return undefined;
      return {
        digest: text(row, "digest"),
        receipt: keys.open(`message\0${org}\0${message}`, row.receipt as Uint8Array),
      };
    },
    saw: (org, id, until) => insert("replay", { org, id, until: Math.round(until) }),
    hasSeen: (org, id) => db.get("SELECT 1 FROM replay WHERE org = ? AND id = ?", org, id) !== undefined,
    expire: (now) => change("DELETE FROM replay WHERE until < ?", Math.round(now)),
    took: (destination, key, at) =>
      insert("ledger", { destination, key, at }, " ON CONFLICT (destination, key) DO NOTHING"),
    forgot: (destination, key) => change("DELETE FROM ledger WHERE destination = ? AND key = ?", destination, key),
    hasTaken: (destination, key) =>
      db.get("SELECT 1 FROM ledger WHERE destination = ? AND key = ?", destination, key) !== undefined,
  };
}
