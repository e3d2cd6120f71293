/** Arrivals and items: what came in on a wire, and the documents and instances that wait to be sealed. */
import type { StorageKeys } from "./keys.ts";
import { firstId, openJson, sealJson, text, textOrNull } from "./rows.ts";
import { change, type Database, failsWhere, insert, type Row, update } from "./sqlite.ts";
import type { ArrivalRow, ArrivalState, Arrivals, Item, ItemState, Items } from "./store.ts";

/** A control id may come again after this long. */
const repetitionMs = 24 * 3600 * 1000;

/** By the index alone: ids are times. */
export const repetitionsSql = `SELECT repetition, id FROM arrival INDEXED BY arrival_repetition
  WHERE repetition IS NOT NULL AND repetition > ? ORDER BY repetition LIMIT +?`;

export function openArrivals(db: Database, keys: StorageKeys, now: () => Date): Arrivals {
  const read = (row: Row): ArrivalRow => ({
    id: text(row, "id"),
    source: text(row, "source"),
    channel: textOrNull(row, "channel"),
    mediaType: text(row, "media_type"),
    controlId: text(row, "control_id"),
    sender: text(row, "sender"),
    repetition: textOrNull(row, "repetition"),
    digest: text(row, "digest"),
    blob: textOrNull(row, "blob"),
    state: text(row, "state") as ArrivalState,
    code: textOrNull(row, "code"),
    reason: textOrNull(row, "reason"),
    receivedAt: text(row, "received_at"),
    facts: openJson(keys, "arrival", text(row, "id"), "facts", row),
  });
  return {
    add: (row) =>
      insert("arrival", {
        id: row.id,
        source: row.source,
        channel: row.channel,
        media_type: row.mediaType,
        control_id: row.controlId,
        sender: row.sender,
        repetition: row.repetition,
        digest: row.digest,
        blob: row.blob,
        state: row.state,
        code: row.code,
        reason: row.reason,
        received_at: row.receivedAt,
        facts: sealJson(keys, "arrival", row.id, "facts", row.facts),
      }),
    settle: (id, { facts, ...columns }) =>
      update("arrival", "id", id, {
        ...columns,
        ...(facts === undefined ? {} : { facts: sealJson(keys, "arrival", id, "facts", facts) }),
      }),
    forget: (token) =>
      change("UPDATE arrival SET repetition = NULL WHERE repetition = ? AND received_at < ?", token, before(now)),
    forgetPage: (after, limit) => {
      const rows = db.all(repetitionsSql, after, limit);
      const oldest = firstId(now().getTime() - repetitionMs);
      const old = rows.map((row) => text(row, "id")).filter((id) => id < oldest);
      const freeing =
        "UPDATE arrival SET repetition = NULL WHERE id IN (SELECT value FROM json_each(?)) AND received_at < ?";
      return {
        changes: old.length > 0 ? [change(freeing, JSON.stringify(old), before(now))] : [],
        next: rows.length === limit ? text(rows.at(-1) as Row, "repetition") : undefined,
      };
    },
    find: (id) => map(db.get("SELECT * FROM arrival WHERE id = ?", id), read),
    byRepetition: (token) =>
      map(db.get("SELECT * FROM arrival WHERE repetition = ? AND received_at >= ?", token, before(now)), read),
    list: ({ state, after = "", limit }) =>
      (state
        ? db.all("SELECT * FROM arrival WHERE state = ? AND id > ? ORDER BY id LIMIT +?", state, after, limit)
        : db.all("SELECT * FROM arrival WHERE id > ? ORDER BY id LIMIT +?", after, limit)
      ).map(read),
  };
}

const before = (now: () => Date): string => new Date(now().getTime() - repetitionMs).toISOString();

/**
 * From the join to the item, never over all items: CROSS JOIN fixes the order. The kind is part of the key, so that the
 * one document of a study is found without reading its thousand images.
 */
const joinedSql = `
  SELECT DISTINCT item.* FROM item_join CROSS JOIN item ON item.id = item_join.item
  WHERE item_join.value IN (SELECT value FROM json_each(?)) AND item_join.kind = ? ORDER BY item.id`;

const waitingSql = "SELECT * FROM item WHERE state = 'waiting' AND kind = 'instance' AND id > ? ORDER BY id LIMIT +?";

/** The bare columns are of the row with the least id (SQLite's rule for min). */
const mattersSql = `
  SELECT *, min(id) AS first, count(*) AS n FROM item WHERE state = ?
  GROUP BY CASE kind WHEN 'document' THEN id ELSE joins END, channel, code ORDER BY kind, first LIMIT +?`;

const hasOctetsSql = failsWhere("NOT EXISTS (SELECT 1 FROM item WHERE id = ? AND blob <> '')");
const areSql = failsWhere(
  "EXISTS (SELECT 1 FROM json_each(?) AS one JOIN item ON item.id = one.value WHERE item.state <> ?)",
);

export function openItems(db: Database, keys: StorageKeys): Items {
  const read = (row: Row): Item => ({
    id: text(row, "id"),
    kind: text(row, "kind") as Item["kind"],
    arrival: text(row, "arrival"),
    channel: text(row, "channel"),
    key: text(row, "key"),
    digest: text(row, "digest"),
    blob: text(row, "blob"),
    joins: JSON.parse(text(row, "joins")) as string[],
    patients: JSON.parse(text(row, "patients")) as string[],
    state: text(row, "state") as ItemState,
    code: textOrNull(row, "code"),
    reason: textOrNull(row, "reason"),
    since: text(row, "since"),
    record: textOrNull(row, "record"),
    facts: openJson(keys, "item", text(row, "id"), "facts", row),
  });
  return {
    add: ({ joins, patients, facts, ...item }) => [
      insert("item", {
        ...item,
        joins: JSON.stringify(joins),
        patients: JSON.stringify(patients),
        facts: sealJson(keys, "item", item.id, "facts", facts),
      }),
      ...joins.map((value) => insert("item_join", { value, kind: item.kind, item: item.id })),
    ],
    mark: (id, columns) => update("item", "id", id, columns),
    seal: (ids, record) => [
      change(areSql, JSON.stringify(ids), "waiting"),
      ...ids.map((id) => update("item", "id", id, { state: "sealed", record })),
    ],
    are: (ids, state) => change(areSql, JSON.stringify(ids), state),
    again: (id, since) => [
      change(hasOctetsSql, id),
      update("item", "id", id, { state: "waiting", code: null, reason: null, since }),
    ],
    find: (id) => map(db.get("SELECT * FROM item WHERE id = ?", id), read),
    byKey: (kind, key) => db.all("SELECT * FROM item WHERE kind = ? AND key = ? ORDER BY id", kind, key).map(read),
    byArrival: (arrival) => db.all("SELECT * FROM item WHERE arrival = ? ORDER BY id", arrival).map(read),
    byRecord: (record) => db.all("SELECT * FROM item WHERE record = ? ORDER BY id", record).map(read),
    joined: (kind, joins) => db.all(joinedSql, JSON.stringify(joins), kind).map(read),
    list: ({ state, kind, limit }) =>
      (kind
        ? db.all("SELECT * FROM item WHERE state = ? AND kind = ? ORDER BY id LIMIT +?", state, kind, limit)
        : db.all("SELECT * FROM item WHERE state = ? ORDER BY kind, id LIMIT +?", state, limit)
      ).map(read),
    waiting: (after, limit) => db.all(waitingSql, after, limit).map(read),
    matters: ({ state, limit }) =>
      db.all(mattersSql, state, limit).map((row) => ({ item: read(row), count: Number(row.n) })),
  };
}

const map = <T>(row: Row | undefined, read: (row: Row) => T): T | undefined => (row ? read(row) : undefined);
