/**
 * Heads of partners' audit logs, as their envelopes carry them: the last of every hour, for good. Who rewrites a log, or cuts it
 * off, is convicted by what others hold of it.
 */
import type { AuditHead } from "./audit-chain.ts";
import { text } from "./rows.ts";
import { change, type Database } from "./sqlite.ts";
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
});

/** The same of a database that somebody else writes. */
export const headsOf = (db: Pick<Database, "all">, org: string): readonly HeldHead[] =>
  db.all("SELECT seq, head, at FROM witness WHERE org = ? ORDER BY hour", org).map((row) => {
    return { seq: Number(row.seq), head: text(row, "head"), at: text(row, "at") };
  });
