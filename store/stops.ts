/** What a person has stopped: channels and systems that are paused or drained, until they are resumed; kept over restarts. */
import { text } from "./rows.ts";
import { change, type Database, insert } from "./sqlite.ts";
import type { Change } from "./store.ts";

export type StopKind = "channel" | "system";
export type Stop = {
  readonly kind: StopKind;
  readonly name: string;
  /** `paused`: nothing is sent; `draining`: nothing is taken in, what is queued is sent. */
  readonly mode: "paused" | "draining";
  readonly reason: string;
  /** ISO 8601. */
  readonly since: string;
};

export type Stops = {
  /** One stop a channel or system: the last word counts. */
  put(stop: Stop): Change;
  end(kind: StopKind, name: string): Change;
  list(): readonly Stop[];
  /** Deliveries of a channel, or to a system, that are not done, and documents and instances of a channel that wait. */
  left(kind: StopKind, name: string): number;
};

const open = "state IN ('queued', 'inflight', 'ambiguous')";
const leftSql = {
  channel: `SELECT (SELECT count(*) FROM delivery WHERE ${open} AND channel = ?1)
    + (SELECT count(*) FROM item WHERE state = 'waiting' AND channel = ?1) AS n`,
  system: `SELECT count(*) AS n FROM delivery WHERE ${open} AND destination = ?1`,
} as const;

export function openStops(db: Database): Stops {
  return {
    put: (stop) =>
      insert(
        "stop",
        { ...stop },
        " ON CONFLICT (kind, name) DO UPDATE SET mode = excluded.mode, reason = excluded.reason, since = excluded.since",
      ),
    end: (kind, name) => change("DELETE FROM stop WHERE kind = ? AND name = ?", kind, name),
    list: () =>
      db.all("SELECT * FROM stop ORDER BY kind, name").map((row) => ({
        kind: text(row, "kind") as StopKind,
        name: text(row, "name"),
        mode: text(row, "mode") as Stop["mode"],
        reason: text(row, "reason"),
        since: text(row, "since"),
      })),
    left: (kind, name) => Number(db.get(leftSql[kind], name)?.n ?? 0),
  };
}
