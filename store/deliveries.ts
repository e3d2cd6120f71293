/** Deliveries: one row for each thing that has to reach somebody, with what became of every attempt. */
import type { StorageKeys } from "./keys.ts";
import { openJson, sealJson, text, textOrNull } from "./rows.ts";
import { change, type Database, failsWhere, insert, insertWhere, overwriting, type Row, update } from "./sqlite.ts";
import type { Change, Deliveries, Delivery, DeliveryState, Id } from "./store.ts";

/** What a crash left on the wire: nobody knows whether it arrived. */
export const afterCrash: Change = change(
  "UPDATE delivery SET state = 'ambiguous', reached = 1 WHERE state = 'inflight'",
);

/** What is made from now on is newer than what waits, though the clock was ahead before this start: ids are the order. */
export const newestWaiting = (db: Pick<Database, "get">): Id =>
  ["queued", "inflight", "ambiguous"]
    .map((state) => db.get("SELECT coalesce(max(id), '') AS id FROM delivery WHERE state = ?", state))
    .map((row) => (row ? text(row, "id") : ""))
    .reduce((newest, id) => (id > newest ? id : newest), "");

const isWaiting = "state IN ('queued', 'ambiguous')";
/** The first delivery of each way, found in a step of the index each, however long their queues are; ?1 is now. */
export const waysSql = `
  WITH RECURSIVE way (id, kind, destination, due) AS (
    SELECT * FROM (SELECT id, kind, destination, due FROM delivery INDEXED BY delivery_way WHERE ${isWaiting}
      ORDER BY kind, destination, due LIMIT 1)
    UNION ALL
    SELECT next.id, next.kind, next.destination, next.due FROM way JOIN delivery AS next ON next.id = coalesce(
      (SELECT id FROM delivery INDEXED BY delivery_way WHERE ${isWaiting}
        AND kind = way.kind AND destination > way.destination ORDER BY destination, due LIMIT 1),
      (SELECT id FROM delivery INDEXED BY delivery_way WHERE ${isWaiting}
        AND kind > way.kind ORDER BY kind, destination, due LIMIT 1)))
  SELECT kind, destination, due, (SELECT min(due) FROM delivery AS later INDEXED BY delivery_way WHERE ${isWaiting}
    AND later.kind = way.kind AND later.destination = way.destination AND later.due > ?1) AS next FROM way`;
const isOfItsKey = `e.destination = d.destination AND e.sequence = d.sequence AND e.sequence IS NOT NULL
  AND e.state IN ('queued', 'inflight', 'ambiguous')`;
/** What has not ended and is older goes first; but not before one that may have arrived. */
const isOlder = `${isOfItsKey} AND e.id < d.id AND (e.state <> 'queued' OR d.state = 'queued')`;
/** One that was tried before, and that a person lets go on, does not overtake what went past it meanwhile. */
const isAhead = `d.state = 'queued' AND d.attempts > 0 AND ${isOfItsKey} AND e.id > d.id`;
/**
 * One that waits for another of its key and destination is not due, whatever its time says; those of `?5` are under way. A
 * fetch has its patient there to be found by, not to wait: an earlier one may be due in an hour.
 */
export const dueSql = `
  SELECT * FROM delivery AS d INDEXED BY delivery_way
  WHERE ${isWaiting} AND kind = ?1 AND destination = ?2 AND due <= ?3
    AND channel NOT IN (SELECT value FROM json_each(?4)) AND id NOT IN (SELECT value FROM json_each(?5))
    AND (sequence IS NULL OR kind = 'fetch' OR (NOT EXISTS (SELECT 1 FROM delivery AS e WHERE ${isOlder})
      AND NOT EXISTS (SELECT 1 FROM delivery AS e
        WHERE ${isAhead} AND (e.state <> 'queued' OR e.id IN (SELECT value FROM json_each(?5))))))
  ORDER BY due, id LIMIT +?6`;

const beforeSql = `
  SELECT e.id FROM delivery AS d JOIN delivery AS e ON (${isOlder}) OR (${isAhead} AND e.state <> 'queued')
  WHERE d.id = ? AND d.kind <> 'fetch' ORDER BY e.id LIMIT 1`;

/** A merge is told of at an arrival: all of them that are young enough count as answered since. */
const answeredSql = `
  SELECT d.* FROM delivery AS d INDEXED BY delivery_state LEFT JOIN record ON record.id = d.record
  WHERE d.state = 'delivered' AND d.id > ?3 AND d.kind IN ('register', 'change') AND d.destination = ?1
    AND (d.payload <> x'' OR d.record IS NOT NULL) AND (d.record IS NULL OR (record.parts <> '[]'
      AND EXISTS (SELECT 1 FROM step WHERE subject = d.record AND step.peer = ?1 AND step.at >= ?2)
      AND NOT EXISTS (SELECT 1 FROM delivery AS n WHERE n.record = d.record AND n.kind = d.kind AND n.id > d.id)))
  ORDER BY d.id LIMIT +?4`;

/** A merge or a consent that the registry was told of, or never is, and that says of whom it is. */
const toldSql = `
  SELECT * FROM delivery INDEXED BY delivery_told WHERE kind = 'change' AND record IS NULL AND id > ?
    AND state IN ('delivered', 'discarded') AND payload <> x'' ORDER BY id LIMIT +?`;

const isAsked =
  "kind IN ('fetch', 'retrieve') AND state IN ('delivered', 'discarded') AND record IS NULL AND payload <> x''";
const askedSql = `SELECT id, ${isAsked} AS is_over FROM delivery WHERE id < ? AND id > ? ORDER BY id LIMIT +?`;

const unsentSql = failsWhere(
  "EXISTS (SELECT 1 FROM delivery WHERE id IN (SELECT value FROM json_each(?)) AND state = 'inflight')",
);
const isSql = failsWhere("NOT EXISTS (SELECT 1 FROM delivery WHERE id = ? AND state = ?)");
const lastSql = failsWhere(`EXISTS (SELECT 1 FROM delivery WHERE record = ? AND kind = ? AND destination = ? AND id > ?
  AND state IN ('queued', 'inflight', 'ambiguous'))`);

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
  const rowOf = (delivery: Delivery) => ({
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
    reached: 0,
  });
  return {
    add: (delivery) => insert("delivery", rowOf(delivery)),
    addOnceDelivered: (delivery, record) =>
      insertWhere(
        "delivery",
        rowOf(delivery),
        "EXISTS (SELECT 1 FROM record WHERE id = ? AND state = 'delivered')",
        record,
      ),
    mark: (id, { payload, due, hasReached, ...columns }) =>
      update("delivery", "id", id, {
        ...columns,
        ...(hasReached ? { reached: 1 } : {}),
        ...(due === undefined ? {} : { due: Math.round(due) }),
        ...(payload === undefined ? {} : { payload: sealJson(keys, "delivery", id, "payload", payload) }),
      }),
    take: (id, attempts) =>
      change(
        "UPDATE delivery SET state = 'inflight', attempts = ? WHERE id = ? AND state IN ('queued', 'ambiguous')",
        attempts,
        id,
      ),
    unsent: (ids) => change(unsentSql, JSON.stringify(ids)),
    is: (id, state) => change(isSql, id, state),
    isLast: ({ record, kind, destination, id }) => change(lastSql, record, kind, destination, id),
    inflight: (ids) =>
      db
        .all(
          "SELECT id FROM delivery WHERE id IN (SELECT value FROM json_each(?)) AND state = 'inflight'",
          JSON.stringify(ids),
        )
        .map((row) => text(row, "id")),
    nearer: (now, latest, back) =>
      change(
        `UPDATE delivery SET due = CASE WHEN due - ?1 BETWEEN ?2 AND ?3 THEN due - ?1 ELSE ?2 END WHERE ${isWaiting} AND due > ?4`,
        Math.round(back),
        Math.round(now),
        Math.round(latest),
        Math.round(back > 0 ? now : latest),
      ),
    asked: ({ before, after, limit }) =>
      db.all(askedSql, before, after, limit).map((row) => ({ id: text(row, "id"), isOver: row.is_over === 1 })),
    forget: (ids) =>
      overwriting([
        change(
          `UPDATE delivery SET sequence = NULL, payload = x'' WHERE id IN (SELECT value FROM json_each(?)) AND ${isAsked}`,
          JSON.stringify(ids),
        ),
      ]),
    find: (id) => {
      const row = db.get("SELECT * FROM delivery WHERE id = ?", id);
      return row ? read(row) : undefined;
    },
    hasReached: (id) =>
      db.get("SELECT 1 FROM delivery WHERE id = ? AND (reached = 1 OR state = 'delivered')", id) !== undefined,
    stateOf: (id) => {
      const row = db.get("SELECT state FROM delivery WHERE id = ?", id);
      return row && (text(row, "state") as DeliveryState);
    },
    fetches: (order, limit) =>
      db
        .all("SELECT * FROM delivery WHERE kind = 'fetch' AND sequence = ? ORDER BY id DESC LIMIT +?", order, limit)
        .map(read),
    waitingFetches: (limit) =>
      db
        .all(
          "SELECT * FROM delivery WHERE kind = 'fetch' AND state IN ('queued', 'ambiguous') ORDER BY due LIMIT +?",
          limit,
        )
        .map(read),
    changes: (order, limit) =>
      db
        .all("SELECT * FROM delivery WHERE kind = 'change' AND sequence = ? ORDER BY id DESC LIMIT +?", order, limit)
        .map(read),
    ways: (now) =>
      db.all(waysSql, now).map((row) => ({
        kind: text(row, "kind") as Delivery["kind"],
        destination: text(row, "destination"),
        due: Number(row.due),
        next: row.next === null ? undefined : Number(row.next),
      })),
    due: ({ kind, destination }, now, limit, { channels = [], ids = [] } = {}) =>
      db.all(dueSql, kind, destination, now, JSON.stringify(channels), JSON.stringify(ids), limit).map(read),
    before: (id) => {
      const row = db.get(beforeSql, id);
      return row && text(row, "id");
    },
    list: ({ state, record, after = "", limit }) =>
      (record
        ? db.all("SELECT * FROM delivery WHERE record = ? ORDER BY id LIMIT +?", record, limit)
        : state
          ? db.all("SELECT * FROM delivery WHERE state = ? AND id > ? ORDER BY id LIMIT +?", state, after, limit)
          : db.all("SELECT * FROM delivery ORDER BY id LIMIT +?", limit)
      ).map(read),
    told: (after, limit) => db.all(toldSql, after, limit).map(read),
    answered: ({ registry, since, from, limit }) => db.all(answeredSql, registry, since, from, limit).map(read),
    parked: (kind, limit) =>
      db.all("SELECT * FROM delivery WHERE state = 'parked' AND kind = ? ORDER BY id LIMIT +?", kind, limit).map(read),
  };
}
