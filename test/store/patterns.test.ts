/** Receipts and signed manifests are kept as what they have beside a pattern, and open octet for octet. */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import type { StoredRecord } from "../../store/store.ts";
import { folder, freshStore, key, open, store } from "./fresh.ts";
import { keysIn } from "./rows.ts";

freshStore();

const certificate = randomBytes(450);
const digest = (): string => randomBytes(32).toString("hex");
const manifest = (sha256 = digest()): Buffer =>
  Buffer.from(
    `{"profile":"semrs-2","sender":{"org":"a"},"headers":{"X-EEC-Sender":"a"},"parts":[{"sha256":"${sha256}"}]}`,
  );
const signature = (): Buffer => Buffer.concat([Buffer.of(0x30), certificate, randomBytes(70)]);
const record = (change: Partial<StoredRecord> = {}): StoredRecord => ({
  ...{ id: store.newId(), channel: "c", origin: "own", author: "a", manifest: manifest(), signature: signature() },
  ...{ manifestSha256: digest(), key: digest(), parts: [], patients: [], state: "stored", code: null, reason: null },
  ...{ entry: null, createdAt: "2026-01-01T00:00:00.000Z" },
  ...change,
});
const stored = { kind: "stored", from: "a" } as const;

/** Sealed and kept as a version without patterns did. */
const asBefore = (table: string, column: string, place: string, value: Uint8Array): void =>
  meddled((db) => {
    void db.prepare(`UPDATE ${table} SET ${column} = ?`).run(keysIn(folder, key).seal(`${table}\0${place}`, value));
  });
function meddled<T>(work: (db: DatabaseSync) => T): T {
  const db = new DatabaseSync(join(folder, "semrs.db"));
  try {
    return work(db);
  } finally {
    db.close();
  }
}
const lengths = (sql: string): readonly number[] =>
  meddled((db) =>
    db
      .prepare(sql)
      .all()
      .map(({ n }) => Number(n)),
  );

test("every value is read as it came, with a pattern and without, now and after a restart", async () => {
  const odd = [Buffer.alloc(0), Buffer.of(0xff), Buffer.alloc(9, 0xff), randomBytes(300), randomBytes(70_000)];
  const values = [...Array.from({ length: 10 }, signature), ...odd, ...Array.from({ length: 10 }, signature)];
  const ids: string[] = [];
  for (const receipt of values) {
    const made = record({ signature: receipt });
    ids.push(made.id);
    const message = { org: "b", message: made.id, digest: "d", receipt, at: "" };
    await store.commit([
      ...store.records.add(made),
      ...store.records.attach(made.id, { ...stored, receipt }),
      ...store.messages.add(message),
    ]);
  }
  const read = () =>
    ids.flatMap((id) => [
      store.records.find(id)?.signature,
      store.records.evidence(id)[0]?.receipt,
      store.messages.find("b", id)?.receipt,
    ]);
  const came = values.flatMap((value) => [value, value, value]);
  expect(read().map((each) => Buffer.from(each ?? []))).toEqual(came);
  await store.close();
  await open();
  expect(read().map((each) => Buffer.from(each ?? []))).toEqual(came);
  expect([...store.checks.unopened()].flat()).toEqual([]);
});

test("what recurs is kept once: after four of a kind a signature takes a third, and another month learns anew", async () => {
  let now = new Date("2026-01-31T00:00:00Z");
  await store.close();
  await open({ now: () => now });
  const add = (): Promise<void> => store.commit(store.records.add(record()));
  for (let n = 0; n < 6; n += 1) await add();
  const sizes = "SELECT length(signature) AS n FROM record ORDER BY rowid";
  const [first = 0, , , , , last = 0] = lengths(sizes);
  expect(first).toBeGreaterThan(signature().length);
  expect(last).toBeLessThan(first / 3);
  expect(lengths("SELECT count(*) AS n FROM pattern")).toEqual([2]);
  now = new Date("2026-02-01T00:00:00Z");
  for (let n = 0; n < 4; n += 1) await add();
  expect(lengths("SELECT count(*) AS n FROM pattern")).toEqual([4]);
  expect(lengths(sizes).at(-1)).toBeLessThan(first / 3);
});

test("a pattern holds nothing of one record", async () => {
  const digests = Array.from({ length: 4 }, digest);
  for (const each of digests) await store.commit(store.records.add(record({ manifest: manifest(each) })));
  const [row] = meddled((db) => db.prepare("SELECT * FROM pattern WHERE kind = 'manifest a'").all());
  const place = ["pattern", row?.kind, row?.month].join("\0");
  const pattern = Buffer.from(keysIn(folder, key).open(place, row?.octets as Uint8Array)).toString();
  expect(pattern).toContain('{"profile":"semrs-2","sender":{"org":"a"}');
  for (const each of digests)
    for (let at = 0; at + 16 <= each.length; at += 1) expect(pattern).not.toContain(each.slice(at, at + 16));
});

test("copies of one receipt teach nothing, and a receipt of several records is kept once", async () => {
  const receipt = signature();
  const records = Array.from({ length: 8 }, () => record());
  const evidence = { kind: "registered", from: "registry", receipt, isOfSeveral: true } as const;
  await store.commit(records.flatMap((each) => store.records.attach(each.id, evidence)));
  expect(lengths("SELECT count(*) AS n FROM kept_once")).toEqual([1]);
  expect(lengths("SELECT max(length(receipt)) AS n FROM evidence")[0]).toBeLessThan(100);
  for (const { id } of records)
    expect(store.records.evidence(id).map(({ receipt: kept }) => Buffer.from(kept))).toEqual([receipt]);
  const others = records.map((each) => store.records.attach(each.id, { ...stored, receipt }));
  await store.commit(others.flat());
  expect(lengths("SELECT count(*) AS n FROM pattern")).toEqual([0]);
});

test("a data folder of before is read, and what comes then is kept shorter", async () => {
  const [old, receipt] = [record(), signature()];
  await store.commit([...store.records.add(old), ...store.records.attach(old.id, { ...stored, receipt })]);
  await store.commit(store.messages.add({ org: "b", message: old.id, digest: "d", receipt, at: "" }));
  await store.close();
  asBefore("record", "manifest", `${old.id}\0manifest`, old.manifest);
  asBefore("record", "signature", `${old.id}\0signature`, old.signature);
  asBefore("evidence", "receipt", `${old.id}\0stored\0a`, receipt);
  asBefore("message", "receipt", `b\0${old.id}`, receipt);
  await open();
  expect([...store.checks.unopened()].flat()).toEqual([]);
  const read = store.records.find(old.id);
  const kept = [store.records.evidence(old.id)[0]?.receipt, store.messages.find("b", old.id)?.receipt];
  expect([read?.manifest, read?.signature, ...kept].map((each) => Buffer.from(each ?? []))).toEqual([
    ...[old.manifest, old.signature, receipt, receipt],
  ]);
});

test("a pattern that is gone, and one that was changed, are told of", async () => {
  const last = record();
  for (const each of [record(), record(), record(), record(), last]) await store.commit(store.records.add(each));
  await store.close();
  meddled((db) => db.exec("UPDATE pattern SET octets = zeroblob(40) WHERE kind = 'signature a'"));
  await open();
  expect(() => store.records.find(last.id)?.signature).toThrow(expect.objectContaining({ code: "STORE_DAMAGED" }));
  const shut = [...store.checks.unopened()].flat().map(({ table, column }) => `${table}.${column}`);
  expect(shut).toEqual(["record.signature", "pattern.octets"]);
  await store.close();
  meddled((db) => db.exec("DELETE FROM pattern WHERE kind = 'signature a'"));
  await open();
  expect(() => store.records.find(last.id)?.signature).toThrow(expect.objectContaining({ code: "STORE_DAMAGED" }));
});
