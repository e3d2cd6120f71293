/** Checkpoints of the own audit log: where it stood, signed by the site, for good. */
import { text } from "./rows.ts";
import { type Database, insert } from "./sqlite.ts";
import type { Change } from "./store.ts";

/** The number of an entry, when it was signed (ISO 8601), and the checkpoint. */
export type SignedHead = { readonly seq: number; readonly at: string; readonly signed: Uint8Array };

export type SignedHeads = {
  /** One an entry: where the log stands as it did, another one changes nothing. */
  add(head: SignedHead): Change;
  last(): SignedHead | undefined;
};

export const openSignedHeads = (db: Database): SignedHeads => ({
  add: (head) => insert("signed_head", head, " ON CONFLICT (seq) DO NOTHING"),
  last: () => signedHeadsAfter(db, Number(db.get("SELECT max(seq) AS n FROM signed_head")?.n ?? 0) - 1).at(-1),
});

/** Behind an entry, oldest first; of a database that somebody else may write. */
export const signedHeadsAfter = (db: Pick<Database, "all">, seq: number): readonly SignedHead[] =>
  db.all("SELECT seq, at, signed FROM signed_head WHERE seq > ? ORDER BY seq", seq).map((row) => ({
    seq: Number(row.seq),
    at: text(row, "at"),
    signed: row.signed as Uint8Array,
  }));
