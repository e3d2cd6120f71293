/** Search of the journal: pages of arrivals, and of other houses' records, newest first; each from one index. */
import { text, textOrNull } from "./rows.ts";
import type { Database } from "./sqlite.ts";
import type { ArrivalState, Id, Token } from "./store.ts";

export type Way =
  | { readonly kind: "controlId"; readonly value: string }
  | { readonly kind: "token"; readonly value: Token }
  | { readonly kind: "state"; readonly value: ArrivalState }
  /** A record, and the arrivals that it was made of. */
  | { readonly kind: "record"; readonly value: Id }
  | { readonly kind: "all"; readonly value: "" };
/** One way into the journal, and bounds by id, which is time: from `from` on, before `before`. */
export type SearchQuery = {
  readonly by: Way;
  readonly from: Id;
  readonly before: Id;
  readonly limit: number;
};
/** What a person is shown of an arrival, or of another house's record: nothing that is sealed. */
export type SearchLine = {
  readonly id: Id;
  readonly kind: "arrival" | "record";
  readonly at: string;
  /** The system it came from, or the house. */
  readonly source: string;
  readonly channel: string | null;
  readonly controlId: string | null;
  readonly state: string;
  readonly code: string | null;
  readonly reason: string | null;
};
export type Search = {
  /** Ids of arrivals (and, by token or record, of records), newest first. */
  find(query: SearchQuery): readonly Id[];
  /** Whether one of these tokens is of it. */
  has(tokens: readonly Token[], subject: Id): boolean;
  /** Those of these ids that are arrivals or records, newest first. */
  lines(ids: readonly Id[]): readonly SearchLine[];
};

const page = "ORDER BY id DESC LIMIT +?4";
/** ?1 what is looked for, ?2 from, ?3 before, ?4 how many. */
export const searchSql = {
  controlId: `SELECT id FROM arrival WHERE control_id = ?1 AND id >= ?2 AND id < ?3 ${page}`,
  token: `SELECT subject AS id FROM found WHERE token = ?1 AND subject >= ?2 AND subject < ?3 ORDER BY subject DESC LIMIT +?4`,
  state: `SELECT id FROM arrival WHERE state = ?1 AND id >= ?2 AND id < ?3 ${page}`,
  record: `SELECT id FROM (SELECT arrival AS id FROM item WHERE record = ?1 UNION SELECT id FROM record WHERE id = ?1)
    WHERE id >= ?2 AND id < ?3 ${page}`,
  all: `SELECT id FROM arrival WHERE ?1 IS NOT NULL AND id >= ?2 AND id < ?3 ${page}`,
  lines: `
    SELECT arrival.id, 'arrival' AS kind, received_at AS at, source, channel, control_id, state, code, reason
      FROM json_each(?1) CROSS JOIN arrival ON arrival.id = value
    UNION ALL
    SELECT record.id, 'record', created_at, author, channel, NULL, state, code, reason
      FROM json_each(?1) CROSS JOIN record ON record.id = value`,
} as const;

export const openSearch = (db: Database): Search => ({
  find: ({ by: { kind, value }, from, before, limit }) =>
    db.all(searchSql[kind], value, from, before, limit).map((row) => text(row, "id")),
  has: (tokens, subject) =>
    tokens.some((token) => db.get("SELECT 1 FROM found WHERE token = ? AND subject = ?", token, subject) !== undefined),
  lines: (ids) =>
    db
      .all(searchSql.lines, JSON.stringify(ids))
      .map((row): SearchLine => {
        return {
          id: text(row, "id"),
          kind: text(row, "kind") as SearchLine["kind"],
          at: text(row, "at"),
          source: text(row, "source"),
          channel: textOrNull(row, "channel"),
          controlId: textOrNull(row, "control_id"),
          state: text(row, "state"),
          code: textOrNull(row, "code"),
          reason: textOrNull(row, "reason"),
        };
      })
      .sort((one, other) => (one.id < other.id ? 1 : -1)),
});
