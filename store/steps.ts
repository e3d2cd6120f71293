/** Steps: what happened to an arrival, item, record or delivery, in the order it happened. They are never changed. */
import { Fault } from "../errors.ts";
import { text, textOrNull } from "./rows.ts";
import { change, type Database, failsWhere, insert, type Row } from "./sqlite.ts";
import type { Change, Id } from "./store.ts";

/** The skew that envelopes are allowed, too (SPEC.md, "Verification order"). */
const maxBehindMs = 5 * 60_000;

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

export type Steps = {
  add(step: Step): Change;
  /**
   * CLOCK_BEHIND when this clock is over five minutes before the last step: with a clock that was turned back, replay rows
   * that have gone would be missed, and what has expired would count again.
   */
  checkClock(now: Date): void;
  /** Steps of any of these, oldest first. */
  of(subjects: readonly Id[]): readonly Step[];
  /** With whom this happened to a subject. */
  peers(subject: Id, event: string): readonly string[];
  /** Fails with STORE_CONFLICT where it has happened with another one by then. */
  withNoOther(subject: Id, event: string, peers: readonly string[]): Change;
};

const maxSteps = 10_000;
const noOtherSql = failsWhere(`EXISTS (SELECT 1 FROM step WHERE subject = ? AND event = ? AND peer IS NOT NULL
  AND peer NOT IN (SELECT value FROM json_each(?)))`);

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
    checkClock: (now) => {
      const last = db.get("SELECT at FROM step ORDER BY n DESC LIMIT 1");
      if (last && Date.parse(text(last, "at")) - maxBehindMs > now.getTime())
        throw new Fault(
          "CLOCK_BEHIND",
          `the clock is behind the journal, whose last entry is of ${text(last, "at")}; set it, or say that it is right: semrs clock confirm`,
        );
    },
    of: (subjects) =>
      db
        .all(
          `SELECT * FROM step WHERE subject IN (SELECT value FROM json_each(?)) ORDER BY at, n LIMIT ${maxSteps}`,
          JSON.stringify(subjects),
        )
        .map(read),
    peers: (subject, event) =>
      db
        .all("SELECT DISTINCT peer FROM step WHERE subject = ? AND event = ? AND peer IS NOT NULL", subject, event)
        .map((row) => text(row, "peer")),
    withNoOther: (subject, event, peers) => change(noOtherSql, subject, event, JSON.stringify(peers)),
  };
}
