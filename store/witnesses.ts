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
  /** Those that the partner has not disowned, newest first. */
  standing(org: string, limit: number, offset?: number): readonly HeldHead[];
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
  standing: (org, limit, offset = 0) =>
    db
      .all(
        `SELECT seq, head, at FROM witness WHERE ${standing} ORDER BY hour DESC LIMIT +? OFFSET +?`,
        org,
        limit,
        offset,
      )
      .map(read),
  disown: (org, seq) => change(`UPDATE witness SET hour = at WHERE ${standing} AND seq > ?`, org, seq),
});

/** The hour of a head that was disowned is its whole time: the hour is free for what comes. */
const standing = `org = ? AND length(hour) = ${hourDigits}`;
const read = (row: Row): HeldHead => ({ seq: Number(row.seq), head: text(row, "head"), at: text(row, "at") });

/** The same of a database that somebody else writes. */
export const headsOf = (db: Pick<Database, "all">, org: string): readonly HeldHead[] =>
  db.all("SELECT seq, head, at FROM witness WHERE org = ? ORDER BY hour", org).map(read);
