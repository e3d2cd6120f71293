/** Deliveries: one row for each thing that has to reach somebody, with what became of every attempt. */
import type { StorageKeys } from "./keys.ts";
import { countsOf, openJson, sealJson, text, textOrNull } from "./rows.ts";
import { change, type Database, insert, type Row, update } from "./sqlite.ts";
import type { Change, Deliveries, Delivery, DeliveryState, Except } from "./store.ts";

/** What a crash left on the wire: nobody knows whether it arrived. */
export const afterCrash: Change = change("UPDATE delivery SET state = 'ambiguous' WHERE state = 'inflight'");

const others = `destination NOT IN (SELECT value FROM json_each(?2)) AND channel NOT IN (SELECT value FROM json_each(?3))
  AND kind || ' ' || destination NOT IN (SELECT value FROM json_each(?4))`;
const otherThan = ({ destinations = [], channels = [], ways = [] }: Except): readonly string[] =>
  [destinations, channels, ways.map(({ kind, destination }) => `${kind} ${destination}`)].map((list) =>
    JSON.stringify(list),
  );

export function openDeliveries(db: Database, keys: StorageKeys): Deliveries {
  const read = (row: Row): Delivery => ({
    id: text(row, "id"),
    kind: text(row, "kind") as Delivery["kind"],
    channel: text(row, "channel"),
    destination: text(row, "destination"),
    order: textOrNull(row, "sequence"),
    record: textOrNull(row, "record"),
    state: text(row, "state") as DeliveryState,
    attempts: Number(row.attempts),
    due: Number(row.due),
    code: textOrNull(row, "code"),
    reason: textOrNull(row, "reason"),
    createdAt: text(row, "created_at"),
    payload: openJson(keys, "delivery", text(row, "id"), "payload", row),
  });
  return {
    add: (delivery) =>
      insert("delivery", {
        id: delivery.id,
        kind: delivery.kind,
        channel: delivery.channel,
        destination: delivery.destination,
        sequence: delivery.order,
        record: delivery.record,
        state: delivery.state,
        attempts: delivery.attempts,
        due: Math.round(delivery.due),
        code: delivery.code,
        reason: delivery.reason,
        created_at: delivery.createdAt,
        payload: sealJson(keys, "delivery", delivery.id, "payload", delivery.payload),
      }),
    mark: (id, { payload, due, ...columns }) =>
      update("delivery", "id", id, {
        ...columns,
        ...(due === undefined ? {} : { due: Math.round(due) }),
        ...(payload === undefined ? {} : { payload: sealJson(keys, "delivery", id, "payload", payload) }),
      }),
    find: (id) => {
      const row = db.get("SELECT * FROM delivery WHERE id = ?", id);
      return row ? read(row) : undefined;
    },
    fetches: (order, limit) =>
      db
        .all("SELECT * FROM delivery WHERE kind = 'fetch' AND sequence = ? ORDER BY id DESC LIMIT ?", order, limit)
        .map(read),
    // One that waits for an earlier one of its key and destination is not due, whatever its time says. A fetch has its
    // patient there to be found by, not to wait: an earlier one may be due in an hour.
    due: (now, limit, except = {}) =>
      db
        .all(
          `SELECT * FROM delivery AS d INDEXED BY delivery_due
           WHERE state IN ('queued', 'ambiguous') AND due <= ?1 AND ${others}
             AND (?5 IS NULL OR (kind = ?5 AND destination = ?6))
             AND (sequence IS NULL OR kind = 'fetch' OR NOT EXISTS (
               SELECT 1 FROM delivery AS e WHERE e.destination = d.destination AND e.sequence = d.sequence AND e.id < d.id
                 AND e.sequence IS NOT NULL AND e.state IN ('queued', 'inflight', 'ambiguous')))
           ORDER BY due, id LIMIT ?7`,
          now,
          ...otherThan(except),
          except.only?.kind ?? null,
          except.only?.destination ?? null,
          limit,
        )
        .map(read),
    nextDue: (now, except = {}) => {
      const row = db.get(
        `SELECT min(due) AS due FROM delivery INDEXED BY delivery_due
         WHERE state IN ('queued', 'ambiguous') AND due > ?1 AND ${others}`,
        now,
        ...otherThan(except),
      );
      return row?.due === null || row === undefined ? undefined : Number(row.due);
    },
    list: ({ state, record, limit }) =>
      (record
        ? db.all("SELECT * FROM delivery WHERE record = ? ORDER BY id LIMIT ?", record, limit)
        : state
          ? db.all("SELECT * FROM delivery WHERE state = ? ORDER BY id LIMIT ?", state, limit)
          : db.all("SELECT * FROM delivery ORDER BY id LIMIT ?", limit)
      ).map(read),
    parked: (kind, limit) =>
      db.all("SELECT * FROM delivery WHERE state = 'parked' AND kind = ? ORDER BY id LIMIT ?", kind, limit).map(read),
    counts: () => countsOf(db.all("SELECT state, count(*) AS n FROM delivery GROUP BY state")),
  };
}
