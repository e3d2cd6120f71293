/** Steps: what happened to an arrival, item, record or delivery, in the order it happened. They are never changed. */
import { text, textOrNull } from "./rows.ts";
import { type Database, insert, type Row } from "./sqlite.ts";
import type { Change, Id } from "./store.ts";

/** One thing that happened. Nothing in it is of a patient. */
export type Step = {
  /** Of the arrival, item, record or delivery it happened to. */
  readonly subject: Id;
  /** ISO 8601 with milliseconds. */
  readonly at: string;
  readonly station: string;
  /** What happened, as the log says it: accepted, sealed, delivered. */
  readonly event: string;
  readonly ms?: number | null;
  readonly peer?: string | null;
  readonly attempt?: number | null;
  readonly code?: string | null;
  /** What the peer answered, how many, or a person's reason. */
  readonly detail?: string | null;
};

/** Where an id, or the end of one, was found. */
export type Found = { readonly kind: "arrival" | "item" | "record" | "delivery"; readonly id: Id };

export type Steps = {
  add(step: Step): Change;
  /** Steps of any of these, oldest first. */
  of(subjects: readonly Id[]): readonly Step[];
  /** Arrivals by control id; anything by its id or the last digits of it. */
  find(query: string): readonly Found[];
};

const maxFound = 20;
const maxSteps = 10_000;
const tables = ["arrival", "item", "record", "delivery"] as const;

export function openSteps(db: Database): Steps {
  const read = (row: Row): Step => ({
    subject: text(row, "subject"),
    at: text(row, "at"),
    station: text(row, "station"),
    event: text(row, "event"),
    ms: row.ms === null ? null : Number(row.ms),
    peer: textOrNull(row, "peer"),
    attempt: row.attempt === null ? null : Number(row.attempt),
    code: textOrNull(row, "code"),
    detail: textOrNull(row, "detail"),
  });
  const found = (kind: Found["kind"], where: string, value: string): readonly Found[] =>
    db.all(`SELECT id FROM ${kind} WHERE ${where} ORDER BY id DESC LIMIT ${maxFound}`, value).map((row) => {
      return { kind, id: text(row, "id") };
    });
  return {
    add: ({ subject, at, station, event, ms, peer, attempt, code, detail }) =>
      insert("step", {
        subject,
        at,
        station,
        event,
        ms: ms === undefined || ms === null ? null : Math.round(ms),
        peer: peer ?? null,
        attempt: attempt ?? null,
        code: code ?? null,
        detail: detail ?? null,
      }),
    of: (subjects) =>
      db
        .all(
          `SELECT * FROM step WHERE subject IN (SELECT value FROM json_each(?)) ORDER BY at, n LIMIT ${maxSteps}`,
          JSON.stringify(subjects),
        )
        .map(read),
    find: (query) => {
      if (/^[0-9a-f]{32}$/.test(query)) return tables.flatMap((kind) => found(kind, "id = ?", query));
      const named = found("arrival", "control_id = ?", query);
      if (named.length > 0 || !/^[0-9a-f]{4,31}$/.test(query)) return named;
      return tables.flatMap((kind) => found(kind, "id LIKE '%' || ?", query));
    },
  };
}
