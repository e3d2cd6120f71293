/** Sealed records with the receipts that prove where they went. Manifests name digests, so they rest sealed too. */
import type { StorageKeys } from "./keys.ts";
import type { Patterns } from "./patterns.ts";
import { openJson, sealJson, text, textOrNull } from "./rows.ts";
import { change, type Database, failsWhere, insert, type Row, update } from "./sqlite.ts";
import type { Evidence, RecordState, Records, StoredRecord } from "./store.ts";

const settleSql = `
  UPDATE record SET state = 'delivered' WHERE id = ?1 AND origin = 'received' AND state = 'opened'
    AND NOT EXISTS (SELECT 1 FROM delivery WHERE record = ?1 AND id <> ?2 AND state <> 'delivered')`;

const noOtherSql = failsWhere(
  "EXISTS (SELECT 1 FROM record WHERE key = ? AND id NOT IN (SELECT value FROM json_each(?)))",
);

export function openRecords(db: Database, keys: StorageKeys, patterns: Patterns): Records {
  const octets = (id: string, column: string, row: Row): Uint8Array =>
    patterns.unpack(keys.open(`record\0${id}\0${column}`, row[column] as Uint8Array));
  const read = (row: Row): StoredRecord => {
    const id = text(row, "id");
    return {
      id,
      channel: text(row, "channel"),
      origin: text(row, "origin") as StoredRecord["origin"],
      author: text(row, "author"),
      // Opened by those who read them, which few do.
      get manifest() {
        return octets(id, "manifest", row);
      },
      get signature() {
        return octets(id, "signature", row);
      },
      manifestSha256: text(row, "manifest_sha256"),
      key: text(row, "key"),
      parts: JSON.parse(text(row, "parts")) as StoredRecord["parts"],
      patients: JSON.parse(text(row, "patients")) as string[],
      state: text(row, "state") as RecordState,
      code: textOrNull(row, "code"),
      reason: textOrNull(row, "reason"),
      entry: openJson(keys, "record", id, "entry", row),
      createdAt: text(row, "created_at"),
    };
  };
  const one = (row: Row | undefined): StoredRecord | undefined => (row ? read(row) : undefined);
  return {
    add: (record) => {
      const manifest = patterns.pack(`manifest ${record.author}`, record.manifest);
      const signature = patterns.pack(`signature ${record.author}`, record.signature);
      return [
        ...manifest.changes,
        ...signature.changes,
        insert("record", {
          id: record.id,
          channel: record.channel,
          origin: record.origin,
          author: record.author,
          manifest: keys.seal(`record\0${record.id}\0manifest`, manifest.octets),
          signature: keys.seal(`record\0${record.id}\0signature`, signature.octets),
          manifest_sha256: record.manifestSha256,
          key: record.key,
          parts: JSON.stringify(record.parts),
          patients: JSON.stringify(record.patients),
          state: record.state,
          code: record.code,
          reason: record.reason,
          entry: sealJson(keys, "record", record.id, "entry", record.entry),
          created_at: record.createdAt,
        }),
      ];
    },
    mark: (id, columns) => update("record", "id", id, columns),
    settle: (id, last) => change(settleSql, id, last),
    find: (id) => one(db.get("SELECT * FROM record WHERE id = ?", id)),
    byKey: (key) => db.all("SELECT * FROM record WHERE key = ? ORDER BY id", key).map(read),
    withNoOther: (key, ids) => change(noOtherSql, key, JSON.stringify(ids)),
    byManifest: (manifestSha256) => one(db.get("SELECT * FROM record WHERE manifest_sha256 = ?", manifestSha256)),
    list: ({ state, limit }) =>
      (state
        ? db.all("SELECT * FROM record WHERE state = ? ORDER BY id DESC LIMIT +?", state, limit)
        : db.all("SELECT * FROM record ORDER BY id DESC LIMIT +?", limit)
      ).map(read),
    attach: (id, { kind, from, receipt, isOfSeveral }) => {
      const { octets, changes } = patterns[isOfSeveral ? "packOnce" : "pack"](`${kind} ${from}`, receipt);
      const sealed = keys.seal(`evidence\0${id}\0${kind}\0${from}`, octets);
      const again = kind === "push" ? "DO UPDATE SET receipt = excluded.receipt" : "DO NOTHING";
      const row = { record: id, kind, org: from, receipt: sealed };
      return [...changes, insert("evidence", row, ` ON CONFLICT (record, kind, org) ${again}`)];
    },
    evidence: (id) =>
      db.all("SELECT * FROM evidence WHERE record = ?", id).map((row): Evidence => {
        const [kind, from] = [text(row, "kind") as Evidence["kind"], text(row, "org")];
        const octets = keys.open(`evidence\0${id}\0${kind}\0${from}`, row.receipt as Uint8Array);
        return { kind, from, receipt: patterns.unpack(octets) };
      }),
  };
}
