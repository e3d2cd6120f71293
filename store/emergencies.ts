/** Accesses in an emergency: each is looked at by a person afterwards, or waits for one. */
import { text, textOrNull } from "./rows.ts";
import { change, type Database, type Row } from "./sqlite.ts";
import type { Change, Id } from "./store.ts";

export type Emergency = {
  readonly id: Id;
  /** Of its entry in the audit log. */
  readonly seq: number;
  /** Who asked. */
  readonly org: string;
  /** ISO 8601. */
  readonly at: string;
  readonly reviewedAt: string | null;
};

export type Emergencies = {
  /** Behind its entry of the audit log, in one commit. */
  add(emergency: Pick<Emergency, "id" | "org" | "at">): Change;
  /** Reviewed once: what was reviewed before stays as it was. */
  review(id: Id, at: string): Change;
  /** By the end of an id; two at most. */
  find(query: string): readonly Emergency[];
  /** Those that wait, oldest first, or all, newest first. */
  list(query: { readonly all: boolean; readonly limit: number }): readonly Emergency[];
  /** How many wait, and since when the oldest does, milliseconds since 1970. */
  waiting(): { readonly count: number; readonly since: number | null };
};

export function openEmergencies(db: Database): Emergencies {
  const read = (row: Row): Emergency => ({
    id: text(row, "id"),
    seq: Number(row.seq),
    org: text(row, "org"),
    at: text(row, "at"),
    reviewedAt: textOrNull(row, "reviewed_at"),
  });
  return {
    add: ({ id, org, at }) =>
      change("INSERT INTO emergency (id, seq, org, at) SELECT ?, max(seq), ?, ? FROM audit", id, org, at),
    review: (id, at) => change("UPDATE emergency SET reviewed_at = ? WHERE id = ? AND reviewed_at IS NULL", at, id),
    find: (query) => db.all("SELECT * FROM emergency WHERE id LIKE '%' || ? LIMIT 2", query).map(read),
    list: ({ all, limit }) =>
      db
        .all(
          all
            ? "SELECT * FROM emergency ORDER BY at DESC LIMIT +?"
            : "SELECT * FROM emergency WHERE reviewed_at IS NULL ORDER BY at LIMIT +?",
          limit,
        )
        .map(read),
    waiting: () => {
      const row = db.get("SELECT count(*) AS n, min(at) AS since FROM emergency WHERE reviewed_at IS NULL");
      return { count: Number(row?.n ?? 0), since: typeof row?.since === "string" ? Date.parse(row.since) : null };
    },
  };
}
