/**
 * What the profile semrs-2017 has to remember for good: its spent one-time keys with the answer that was given, since one key
 * gets one attempt, and the partners for whom it has ended.
 */
import { text } from "./rows.ts";
import { change, type Database, insert, type Row } from "./sqlite.ts";
import type { Change } from "./store.ts";

export type SpentKey = {
  /** SHA-256 of the one-time key, hex. */
  readonly key: string;
  readonly org: string;
  /** SHA-256 of the envelope that spent it, hex. */
  readonly envelope: string;
  /** HTTP status that was answered; null until then. */
  readonly answer: number | null;
};

export type Legacy = {
  /** `key` is unique: STORE_CONFLICT on the second. Never forgotten. */
  spend(spent: Omit<SpentKey, "answer"> & { readonly at: string }): Change;
  answered(key: string, answer: number): Change;
  find(key: string): SpentKey | undefined;
  /** The partner has shown that it can do better. A repetition changes nothing. */
  end(org: string, at: string): Change;
  hasEnded(org: string): boolean;
};

export function openLegacy(db: Database): Legacy {
  const read = (row: Row): SpentKey => ({
    key: text(row, "key"),
    org: text(row, "org"),
    envelope: text(row, "envelope"),
    answer: row.answer === null ? null : Number(row.answer),
  });
  return {
    spend: ({ key, org, envelope, at }) => insert("legacy_key", { key, org, envelope, answer: null, at }),
    answered: (key, answer) => change("UPDATE legacy_key SET answer = ? WHERE key = ?", answer, key),
    find: (key) => {
      const row = db.get("SELECT * FROM legacy_key WHERE key = ?", key);
      return row && read(row);
    },
    end: (org, at) => insert("legacy_end", { org, at }, " ON CONFLICT (org) DO NOTHING"),
    hasEnded: (org) => db.get("SELECT 1 FROM legacy_end WHERE org = ?", org) !== undefined,
  };
}
