/** Alerts that are open, and what targets still have to be told of: kept, so that a restart tells nothing twice. */
import { firstId, text } from "./rows.ts";
import { change, type Database, insert, type Row } from "./sqlite.ts";
import type { Change, Id } from "./store.ts";

export type AlertRow = { readonly key: string; readonly kind: string; readonly subject: string; readonly says: string };
/** One thing that one target has to be told. */
export type Notice = {
  readonly id: Id;
  readonly target: string;
  /** JSON, without anything of a patient. */
  readonly body: string;
  readonly attempts: number;
  /** Milliseconds since 1970: not before. */
  readonly due: number;
};

export type Alerts = {
  open(): readonly AlertRow[];
  raise(alert: AlertRow, at: string): Change;
  resolve(key: string): Change;
  tell(notice: Notice): Change;
  /** Told, or given up. */
  told(id: Id): Change;
  again(id: Id, attempts: number, due: number): Change;
  /** Names of the targets that have been told of all that is open; undefined where none ever were. */
  targets(): readonly string[] | undefined;
  /** These are they from now on: what another one was still to be told is forgotten. */
  know(targets: readonly string[]): readonly Change[];
  /** The oldest notice of each target, due or not: the ones after it wait. */
  first(): readonly Notice[];
  /** The oldest thing that is held or parked, by when it began to be. */
  heldSince(): number | null;
  /** When a system sent last; undefined if it never did. */
  lastOf(system: string): number | undefined;
  /** Whether a system sent anything between two times. */
  hasSent(system: string, from: number, to: number): boolean;
};

const knowSql = `INSERT INTO meta (name, value) VALUES ('alert-targets', ?)
  ON CONFLICT (name) DO UPDATE SET value = excluded.value`;

export function openAlerts(db: Database): Alerts {
  const read = (row: Row): Notice => ({
    id: text(row, "id"),
    target: text(row, "target"),
    body: text(row, "body"),
    attempts: Number(row.attempts),
    due: Number(row.due),
  });
  return {
    open: () =>
      db.all("SELECT * FROM alert ORDER BY key").map((row) => {
        return {
          key: text(row, "key"),
          kind: text(row, "kind"),
          subject: text(row, "subject"),
          says: text(row, "says"),
        };
      }),
    raise: ({ key, kind, subject, says }, at) => insert("alert", { key, kind, subject, says, at }),
    resolve: (key) => change("DELETE FROM alert WHERE key = ?", key),
    tell: ({ id, target, body, attempts, due }) => insert("alert_notice", { id, target, body, attempts, due }),
    told: (id) => change("DELETE FROM alert_notice WHERE id = ?", id),
    again: (id, attempts, due) =>
      change("UPDATE alert_notice SET attempts = ?, due = ? WHERE id = ?", attempts, Math.round(due), id),
    targets: () => {
      const row = db.get("SELECT value FROM meta WHERE name = 'alert-targets'");
      return row && (JSON.parse(Buffer.from(row.value as Uint8Array).toString()) as string[]);
    },
    know: (targets) => [
      change(knowSql, Buffer.from(JSON.stringify(targets))),
      change("DELETE FROM alert_notice WHERE target NOT IN (SELECT value FROM json_each(?))", JSON.stringify(targets)),
    ],
    // The bare columns are of the row with the least id (SQLite's rule for min).
    first: () => db.all("SELECT *, min(id) AS first FROM alert_notice GROUP BY target").map(read),
    heldSince: () => {
      const held = db.get("SELECT min(since) AS since FROM item WHERE state = 'held'")?.since;
      const parked = db.get("SELECT min(due) AS since FROM delivery WHERE state = 'parked'")?.since;
      const times = [typeof held === "string" ? Date.parse(held) : null, parked].filter((each) => each != null);
      return times.length > 0 ? Math.min(...times.map(Number)) : null;
    },
    lastOf: (system) => {
      const row = db.get("SELECT id FROM arrival WHERE source = ? ORDER BY id DESC LIMIT 1", system);
      return row && Number.parseInt(text(row, "id").slice(0, 12), 16);
    },
    hasSent: (system, from, to) =>
      db.get(
        "SELECT 1 FROM arrival WHERE source = ? AND id >= ? AND id < ? LIMIT 1",
        system,
        firstId(from),
        firstId(to),
      ) !== undefined,
  };
}
