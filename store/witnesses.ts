/**
 * Heads of partners' audit logs, as their envelopes carry them: the last of every hour, for good. Who rewrites a log, or cuts it
 * off, is convicted by what others hold of it.
 */
import type { AuditHead } from "./audit-chain.ts";
import { text } from "./rows.ts";
import { change, type Database, type Row } from "./sqlite.ts";
import type { Change } from "./store.ts";

export type HeldHead = AuditHead & {
  /** When it came, ISO 8601. */
  readonly at: string;
};

export type Witnesses = {
  /** Keeps a head of a partner's log; one that is not further on than the last of this hour changes nothing. Nothing to keep: no change. */
  saw(org: string, head: AuditHead | null): readonly Change[];
  /** What is held of a partner, oldest first. */
  of(org: string): readonly HeldHead[];
  /** Those that the partner has not disowned, newest first: all, or what came before a time. */
  standing(org: string, limit: number, before?: string): readonly HeldHead[];
  /** The head that the partner said last to have, and what came since, oldest first; the newest alone where it was never asked. */
  unasked(org: string): readonly HeldHead[];
  /** The partner has said that it has this one. */
  confirm(org: string, head: HeldHead): Change;
  /** The partner's log has nothing above this any more: such heads stay held against it, and count no more for where it stands. */
  disown(org: string, seq: number): Change;
};

const hourDigits = "YYYY-MM-DDTHH".length;

export const openWitnesses = (db: Database, now: () => Date): Witnesses => ({
  saw: (org, head) => {
    if (!head) return [];
    const at = now().toISOString();
    return [
      change(
        `INSERT INTO witness (org, hour, seq, head, at) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (org, hour) DO UPDATE SET seq = excluded.seq, head = excluded.head, at = excluded.at
         WHERE excluded.seq > witness.seq`,
        org,
        at.slice(0, hourDigits),
        head.seq,
        head.head,
        at,
      ),
    ];
  },
  of: (org) => headsOf(db, org),
  standing: (org, limit, before = "~") =>
    db
      .all(
        `SELECT seq, head, at FROM witness WHERE ${standing} AND at < ? ORDER BY hour DESC LIMIT +?`,
        org,
        before,
        limit,
      )
      .map(read),
  unasked: (org) => {
    const confirmed = db.get("SELECT seq, head, at FROM witness WHERE org = ? AND hour = ?", org, confirmedHour);
    const later = confirmed
      ? db.all(
          `SELECT seq, head, at FROM witness WHERE ${standing} AND at > ? ORDER BY hour`,
          org,
          text(confirmed, "at"),
        )
      : db.all(`SELECT seq, head, at FROM witness WHERE ${standing} ORDER BY hour DESC LIMIT 1`, org);
    return [...(confirmed ? [confirmed] : []), ...later].map(read);
  },
  confirm: (org, { seq, head, at }) =>
    change(
      "INSERT OR REPLACE INTO witness (org, hour, seq, head, at) VALUES (?, ?, ?, ?, ?)",
      org,
      confirmedHour,
      seq,
      head,
      at,
    ),
  disown: (org, seq) =>
    change(
      `UPDATE OR REPLACE witness SET hour = at WHERE org = ? AND length(hour) <= ${hourDigits} AND seq > ?`,
      org,
      seq,
    ),
});

/** In place of an hour: that of the row may have another head by now. */
const confirmedHour = "confirmed";
/** The hour of a head that was disowned is its whole time: the hour is free for what comes. */
const standing = `org = ? AND length(hour) = ${hourDigits}`;
const read = (row: Row): HeldHead => ({ seq: Number(row.seq), head: text(row, "head"), at: text(row, "at") });

/** The same of a database that somebody else writes. */
export const headsOf = (db: Pick<Database, "all">, org: string): readonly HeldHead[] =>
  db
    .all(`SELECT seq, head, at FROM witness WHERE org = ? AND length(hour) >= ${hourDigits} ORDER BY hour`, org)
    .map(read);
