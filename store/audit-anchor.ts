/**
 * Where the beginning of the audit log was pruned: up to an entry that a checkpoint of the site was signed for. The anchor stands
 * for what is gone (chain n is over all entries up to n), and an entry further on says the same.
 */
import { text } from "./rows.ts";
import { change, type Database } from "./sqlite.ts";
import type { Change } from "./store.ts";

export type AuditAnchor = {
  /** The last entry that was pruned; entries 1 to this one are gone, or about to go. */
  readonly seq: number;
  /** The chain there. */
  readonly chain: Uint8Array;
  /** When the first and the last of them were made (ISO 8601). */
  readonly firstAt: string;
  readonly lastAt: string;
  /** The checkpoint of that entry, as it was signed. */
  readonly signed: Uint8Array;
};

export type AuditPruning = {
  anchor(): AuditAnchor | null;
  /** What the anchor would be for the last checkpoint before a time (ISO 8601): none behind the anchor, or past an access that waits for its review. */
  due(before: string): AuditAnchor | undefined;
  /** Puts the anchor there; the entries go with `remove`. */
  prune(anchor: AuditAnchor): Change;
  /** The next entries that the anchor stands for; empty when they are gone. */
  remove(limit: number): readonly Change[];
};

/** The last checkpoint before ?1, before the first access that waits for its review, and behind the anchor. */
const dueSql = `
  SELECT signed_head.seq, signed_head.at, signed_head.signed, audit.chain FROM signed_head INDEXED BY signed_head_at
    CROSS JOIN audit ON audit.seq = signed_head.seq
  WHERE signed_head.at < ?1 AND signed_head.seq > coalesce((SELECT seq FROM audit_anchor), 0)
    AND signed_head.seq < coalesce((SELECT min(seq) FROM emergency WHERE reviewed_at IS NULL), 9e15)
  ORDER BY signed_head.at DESC LIMIT 1`;

export function openAuditPruning(db: Database): AuditPruning {
  const first = (): number => Number(db.get("SELECT min(seq) AS n FROM audit WHERE seq > 0")?.n ?? 0);
  return {
    anchor: () => anchorOf(db),
    due: (before) => {
      const row = db.get(dueSql, before);
      if (!row) return undefined;
      const oldest = db.get("SELECT iif(json_valid(body), body ->> 'at', NULL) AS at FROM audit WHERE seq = 1");
      return {
        seq: Number(row.seq),
        chain: row.chain as Uint8Array,
        firstAt: anchorOf(db)?.firstAt ?? String(oldest?.at ?? ""),
        lastAt: text(row, "at"),
        signed: row.signed as Uint8Array,
      };
    },
    prune: ({ seq, chain, firstAt, lastAt, signed }) =>
      change(
        "INSERT OR REPLACE INTO audit_anchor (n, seq, chain, first_at, last_at, signed) VALUES (1, ?, ?, ?, ?, ?)",
        seq,
        chain,
        firstAt,
        lastAt,
        signed,
      ),
    remove: (limit) => {
      const [from, last] = [first(), anchorOf(db)?.seq ?? 0];
      if (from === 0 || from > last) return [];
      return [change("DELETE FROM audit WHERE seq > 0 AND seq <= ?", Math.min(from + limit - 1, last))];
    },
  };
}

/** The anchor of a database that somebody else may write; null where nothing was pruned. */
export function anchorOf(db: Pick<Database, "all">): AuditAnchor | null {
  const [row] = db.all("SELECT * FROM audit_anchor");
  if (!row) return null;
  return {
    seq: Number(row.seq),
    chain: row.chain as Uint8Array,
    firstAt: text(row, "first_at"),
    lastAt: text(row, "last_at"),
    signed: row.signed as Uint8Array,
  };
}
