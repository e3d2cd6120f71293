/** The audit log on the real store: chained in the order of commits, atomic with what it tells of, and whole when a key is erased. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, test } from "vitest";
import { chained } from "../../store/audit-chain.ts";
import type { Statement } from "../../store/sqlite.ts";
import type { WitnessedHead } from "../../store/store.ts";
import { arrival, checked, folder, freshStore, open, store } from "./fresh.ts";

freshStore();

const chen = { patient: "1chen", ids: ["A223456781", "0012345"] };
const entry = (subject: string) => store.audit.add({ event: "message", subject, peer: "his", patients: [chen] });

/** Changes the table behind the back of the store, which is closed meanwhile. */
async function tamper(change: (db: DatabaseSync) => void): Promise<void> {
  await store.close();
  const db = new DatabaseSync(join(folder, "semrs.db"));
  change(db);
  db.close();
  await open();
}

/** What somebody who can write the file would do: every chain made anew. */
function rechain(db: DatabaseSync): void {
  let chain: Uint8Array = new Uint8Array(32);
  for (const { seq, body } of db.prepare("SELECT seq, body FROM audit WHERE seq > 0 ORDER BY seq").all()) {
    chain = chained(chain, String(body));
    db.prepare("UPDATE audit SET chain = ? WHERE seq = ?").run(chain, Number(seq));
  }
}

test("entries of many callers are chained in the order of their commits, with what they say", async () => {
  await Promise.all(Array.from({ length: 40 }, (_, n) => store.commit([...entry(`m${n}`)])));
  expect(checked()).toMatchObject({ entries: 40, broken: null });
  const entries = store.audit.after(0, 100);
  expect(entries.map(({ seq }) => seq)).toEqual(Array.from({ length: 40 }, (_, n) => n + 1));
  expect(new Set(entries.map(({ subject }) => subject)).size).toBe(40);
  expect(entries[0]).toMatchObject({ event: "message", outcome: "done", peer: "his", patients: [{ ids: chen.ids }] });
  expect(store.audit.head()).toEqual({ seq: 40, head: entries.at(-1)?.chain });
  expect(store.audit.after(38, 1).map(({ seq }) => seq)).toEqual([39]);
});

test("a long log is followed in pieces, and in one, to the same end", async () => {
  for (let n = 0; n < 25; n += 1)
    await store.commit(Array.from({ length: 100 }, (_, m) => entry(`m${n * 100 + m}`)).flat());
  const following = store.audit.follow();
  let pauses = 0;
  let next = following.next();
  for (; !next.done; next = following.next()) pauses += 1;
  expect([pauses, next.value]).toEqual([2, checked()]);
  expect(next.value).toMatchObject({ entries: 2500, broken: null });
});

test("anybody can follow the chain with SHA-256 alone", async () => {
  await store.commit([...entry("one"), ...entry("two")]);
  await store.close();
  const db = new DatabaseSync(join(folder, "semrs.db"), { readOnly: true });
  const rows = db.prepare("SELECT body, chain FROM audit WHERE seq > 0 ORDER BY seq").all();
  db.close();
  let chain = Buffer.alloc(32);
  for (const { body } of rows) chain = createHash("sha256").update(chain).update(String(body)).digest();
  expect(Buffer.from(rows.at(-1)?.chain as Uint8Array)).toEqual(chain);
});

test("a commit that conflicts leaves no entry and no gap", async () => {
  const row = arrival();
  await store.commit([store.arrivals.add(row), ...entry("first")]);
  const results = await Promise.allSettled([
    store.commit([...entry("second")]),
    store.commit([...entry("never"), store.arrivals.add(row)]),
    store.commit([...entry("third")]),
  ]);
  expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
  expect(store.audit.after(0, 10).map(({ subject }) => subject)).toEqual(["first", "second", "third"]);
  expect(checked().broken).toBeNull();
});

test("a patient whose key was damaged is told as that, and not as one who was erased; a check of the index finds the key", async () => {
  await store.commit([
    ...entry("hers"),
    ...store.audit.add({ event: "message", patients: [{ patient: "2", ids: ["9"] }] }),
  ]);
  await store.patientKeys.erase(["2"]);
  const id = store.patientKeys.of(chen.patient) ?? "";
  await tamper((db) => db.exec("UPDATE patient_key SET key = randomblob(40) WHERE patient <> id"));
  const [hers, erased] = store.audit.after(0, 2);
  expect(hers?.patients).toEqual([{ key: id, ids: null, isDamaged: true }]);
  expect(erased?.patients).toEqual([{ key: expect.any(String), ids: null }]);
  expect([...store.checks.unopened()].flat()).toEqual([{ table: "patient_key", column: "key", id }]);
});

test("the log goes on where it stood after a restart", async () => {
  await store.commit([...entry("before")]);
  const { head } = store.audit.head();
  await store.close();
  await open();
  await store.commit([...entry("after")]);
  expect(store.audit.after(0, 1)[0]?.chain).toBe(head);
  expect(checked()).toMatchObject({ entries: 2, broken: null });
});

describe("a patient's key", () => {
  test("is one, however many entries are sealed before the first is committed", async () => {
    await Promise.all(Array.from({ length: 10 }, (_, n) => store.commit([...entry(`m${n}`)])));
    const keys = store.audit.after(0, 20).map(({ patients }) => patients[0]?.key);
    expect(new Set(keys)).toEqual(new Set([store.patientKeys.of(chen.patient)]));
  });

  test("that waits to be seen in the index holds no more memory than its own octets", () => {
    const changes = store.patientKeys.seal(chen.patient, "test", Buffer.from("sealed")).changes;
    const params = changes.flatMap((each) => (each as unknown as Statement).params);
    const octets = params.filter((param): param is Uint8Array => param instanceof Uint8Array);
    expect(octets.map(({ buffer, byteLength }) => [byteLength, buffer.byteLength])).toEqual([[40, 40]]);
  });

  test("that was never kept is drawn again for the next", async () => {
    const row = arrival();
    await store.commit([store.arrivals.add(row)]);
    await expect(store.commit([...entry("never"), store.arrivals.add(row)])).rejects.toMatchObject({
      code: "STORE_CONFLICT",
    });
    await store.commit([...entry("kept")]);
    expect(store.audit.after(0, 1)[0]?.patients[0]?.ids).toEqual(chen.ids);
  });

  test("erased takes what it sealed with it, breaks no chain, and leaves nothing that finds the patient", async () => {
    const lin = { patient: "1lin", ids: ["B123456780"] };
    await store.commit([...entry("hers"), ...store.audit.add({ event: "read", patients: [lin] })]);
    const before = store.audit.head();
    await store.patientKeys.erase([chen.patient]);
    expect(store.audit.after(0, 2).map(({ patients }) => patients[0]?.ids)).toEqual([null, lin.ids]);
    expect(checked()).toMatchObject({ head: before, broken: null });
    expect(store.patientKeys.of(chen.patient)).toBeUndefined();
    const db = new DatabaseSync(join(folder, "semrs.db"), { readOnly: true });
    expect(
      db.prepare("SELECT patient FROM patient_key WHERE patient = ? OR length(trim(hex(key), '0')) = 0").all(),
    ).toEqual([{ patient: store.audit.after(0, 1)[0]?.patients[0]?.key }]);
    db.close();
    // What comes later is sealed under a new key.
    await store.commit([...entry("later")]);
    expect(store.audit.after(2, 1)[0]?.patients[0]?.ids).toEqual(chen.ids);
    expect(store.audit.after(0, 1)[0]?.patients[0]?.ids).toBeNull();
  });
});

test("a commit that was under way does not bring an erased key back", async () => {
  const late = entry("late");
  await store.commit([...entry("first")]);
  await store.patientKeys.erase([chen.patient]);
  await store.commit([...late]);
  expect(store.audit.after(0, 2).map(({ patients }) => patients[0]?.ids)).toEqual([null, null]);
  expect(checked().broken).toBeNull();
});

describe("what was changed behind the store's back", () => {
  const change = (sql: string) => tamper((db) => db.exec(sql));
  test.each([
    ["an entry that was rewritten", "UPDATE audit SET body = replace(body, 'm3', 'm9') WHERE seq = 3", 3],
    ["an entry that was taken out", "DELETE FROM audit WHERE seq = 4", 4],
    ["two that changed places", "UPDATE audit SET body = (SELECT body FROM audit WHERE seq = 5) WHERE seq = 2", 2],
    ["a first entry that is not empty", "UPDATE audit SET chain = randomblob(32) WHERE seq = 0", 0],
    ["everything gone", "DELETE FROM audit", 0],
  ])("%s is named by its number", async (_what, sql, seq) => {
    for (let n = 1; n <= 6; n += 1) await store.commit([...entry(`m${n}`)]);
    await change(sql);
    expect(checked().broken).toMatchObject({ seq });
  });

  test("a log without its beginning takes nothing more: the commit fails with what it tells of", async () => {
    await change("DELETE FROM audit");
    const row = arrival();
    await expect(store.commit([store.arrivals.add(row), ...entry("x")])).rejects.toMatchObject({
      code: "STORE_DAMAGED",
    });
    expect(store.arrivals.find(row.id)).toBeUndefined();
  });

  test("a tail that was rewritten or cut off consistently passes alone, and not beside the heads that others hold", async () => {
    const witnesses: WitnessedHead[] = [];
    for (let n = 1; n <= 6; n += 1) {
      await store.commit([...entry(`m${n}`)]);
      witnesses.push({ ...store.audit.head(), by: "hospital-b" });
    }
    expect(checked(witnesses)).toMatchObject({ witnessed: 6, broken: null });
    await tamper((db) => {
      db.exec("UPDATE audit SET body = replace(body, 'm5', 'm7') WHERE seq = 5");
      rechain(db);
    });
    expect(checked().broken).toBeNull();
    expect(checked(witnesses).broken).toMatchObject({
      seq: 5,
      reason: expect.stringContaining("hospital-b"),
    });
    await change("DELETE FROM audit WHERE seq > 3");
    expect(checked().broken).toBeNull();
    expect(checked(witnesses).broken).toMatchObject({ seq: 4, reason: expect.stringContaining("entry 4") });
  });
});
