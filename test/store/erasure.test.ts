/** Entries of the national index under their patient's key: gone with it wherever their octets lie, and nobody else's. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { migrations } from "../../store/schema.ts";
import type { NewEntry, Token } from "../../store/store.ts";
import { folder, freshStore, key, open, store } from "./fresh.ts";
import { asBefore, keysIn } from "./rows.ts";

freshStore();

const patient = (n: string): Token => store.tokens.of("patient", "1.2", n);
const document = (name: string): Token => store.tokens.of("document", "", name);
const entry = (name: string, patients: readonly Token[], change: Partial<NewEntry> = {}): NewEntry => ({
  id: store.newId(),
  submission: "5".repeat(32),
  org: "hospital-a",
  key: document(name),
  patients,
  references: [],
  related: [],
  form: "113",
  createdAt: "2026-01-01T00:00:00.000Z",
  manifestSha256: "0".repeat(64),
  entry: { name },
  ...change,
});
const add = (name: string, ...patients: readonly Token[]) => store.entries.add(entry(name, patients));
const says = (name: string) => store.entries.byKey(document(name))[0]?.entry;
const unopened = () => [...store.checks.unopened()].flat();
/** Looks at the table behind the back of the store, which is closed meanwhile. */
async function behind<T>(look: (db: DatabaseSync) => T): Promise<T> {
  await store.close();
  const db = new DatabaseSync(join(folder, "semrs.db"));
  const seen = look(db);
  db.close();
  await open();
  return seen;
}

test("an entry is gone with its patient's key, read before or not; another's stays, and so does what comes later", async () => {
  await store.commit([
    ...add("hers", patient("1"), patient("9")),
    ...add("more", patient("1")),
    ...add("his", patient("2")),
  ]);
  expect([says("hers"), says("his")]).toEqual([{ name: "hers" }, { name: "his" }]);
  await store.patientKeys.erase([patient("1")]);
  await store.commit(add("later", patient("1")));
  const gone = { isRemoved: true, entry: null };
  for (const name of ["hers", "more"]) expect(store.entries.byKey(document(name))[0]).toMatchObject(gone);
  const slice = { limit: 10, moment: store.entries.moment() };
  expect(store.entries.find("patient", [patient("1")], slice).map((row) => row.isRemoved)).toEqual([false, true, true]);
  expect([says("his"), says("later")]).toEqual([{ name: "his" }, { name: "later" }]);
  expect(unopened()).toEqual([]);
  await store.close();
  await open();
  expect([says("hers"), says("his"), says("later")]).toEqual([null, { name: "his" }, { name: "later" }]);
});

test("neither the key nor what is removed with it lies anywhere in the file of the index", async () => {
  const long = entry("long", [patient("1")], { entry: { text: "x".repeat(10_000) } });
  await store.commit([...store.entries.add(long), ...add("his", patient("2"))]);
  const [wrapped, sealed] = await behind((db) => [
    db.prepare("SELECT key FROM patient_key WHERE patient = ?").get(patient("1"))?.key as Uint8Array,
    db.prepare("SELECT entry FROM entry WHERE id = ?").get(long.id)?.entry as Uint8Array,
  ]);
  // From one of the pages that it overflows to.
  const octets = [wrapped, sealed.subarray(6_000, 6_032)].map((each) => Buffer.from(each));
  const lying = () => octets.map((each) => readFileSync(join(folder, "semrs.db")).includes(each));
  expect(lying()).toEqual([true, true]);
  await store.patientKeys.erase([patient("1")], store.entries.remove(long.id));
  await store.close();
  expect(lying()).toEqual([false, false]);
});

test("a commit that was under way does not bring the key back: what it registers is gone, too", async () => {
  const late = add("late", patient("1"));
  await store.commit(add("first", patient("1")));
  await store.patientKeys.erase([patient("1")]);
  await store.commit(late);
  expect(store.entries.byKey(document("late"))[0]).toMatchObject({ isRemoved: true, entry: null });
  expect(store.patientKeys.of(patient("1"))).toBeUndefined();
  expect(unopened()).toEqual([]);
});

test("nothing is registered under a key that nobody keeps: the commit is refused, and a second one made anew", async () => {
  const never = add("never", patient("1"));
  await store.patientKeys.erase([patient("1")]);
  await store.commit(add("kept", patient("1")));
  await expect(store.commit(never)).rejects.toMatchObject({ code: "STORE_CONFLICT" });
  expect(says("never")).toBeUndefined();
  await store.commit(add("never", patient("1")));
  expect([says("kept"), says("never")]).toEqual([{ name: "kept" }, { name: "never" }]);
});

test("what was registered before there were keys of patients is read, checked and removed as it was", async () => {
  const old = entry("old", [patient("1")]);
  await store.commit([...store.entries.add(old), ...add("other", patient("2"))]);
  await behind((db) => {
    const sealed = keysIn(folder, key).seal(`entry\0${old.id}\0entry`, Buffer.from('{"name":"old"}'));
    db.prepare("UPDATE entry SET entry = ? WHERE id = ?").run(sealed, old.id);
    db.prepare("DELETE FROM entry WHERE id <> ?").run(old.id);
    const added = migrations.findIndex((sql) => sql.includes("ADD COLUMN patient_key"));
    db.exec(asBefore(added));
  });
  expect(says("old")).toEqual({ name: "old" });
  await store.commit(add("new", patient("1")));
  await store.patientKeys.erase([patient("1")]);
  expect([says("old"), says("new")]).toEqual([{ name: "old" }, null]);
  expect(unopened()).toEqual([]);
  await store.commit(store.entries.remove(old.id));
  expect(store.entries.byKey(document("old"))[0]).toMatchObject({ isRemoved: true, entry: null });
});

test.each([
  ["octets that were changed", "UPDATE entry SET entry = zeroblob(length(entry))"],
  [
    "one whose key is of another",
    "UPDATE entry SET patient_key = (SELECT id FROM patient_key WHERE id <> patient_key)",
  ],
])("damage is not taken for an erasure: %s", async (_what, sql) => {
  await store.commit([
    ...add("hers", patient("1")),
    ...store.patientKeys.seal(patient("2"), "x", Buffer.alloc(1)).changes,
  ]);
  const { id = "" } = store.entries.byKey(document("hers"))[0] ?? {};
  await behind((db) => db.exec(sql));
  expect(() => says("hers")).toThrow(expect.objectContaining({ code: "STORE_DAMAGED" }));
  expect(unopened()).toEqual([{ table: "entry", column: "entry", id }]);
});

test("no more is found by a patient who is forgotten, and what comes later is", async () => {
  await store.commit([...add("hers", patient("1")), ...add("his", patient("2"))]);
  await store.commit(store.entries.forget([patient("1")]));
  await store.commit(add("later", patient("1")));
  const slice = { limit: 10, moment: store.entries.moment() };
  const found = (n: string) => store.entries.find("patient", [patient(n)], slice).map((row) => row.entry);
  expect([found("1"), found("2")]).toEqual([[{ name: "later" }], [{ name: "his" }]]);
});

test("the audit log counts the entries that name a patient under a key, and no text that looks like it", async () => {
  const named = (n: string) => ({ patient: patient(n), ids: [n] });
  await store.commit(store.audit.add({ event: "answer", patients: [named("1"), named("2")] }));
  const keys = ["1", "2"].map((n) => store.patientKeys.of(patient(n)) ?? "");
  await store.commit([
    ...store.audit.add({ event: "answer", patients: [named("2")] }),
    ...store.audit.add({ event: "read", reason: `"key":"${keys[0]}"` }),
  ]);
  const count = (...under: readonly string[]): number => {
    const counting = store.audit.sealedUnder(under);
    let next = counting.next();
    while (!next.done) next = counting.next();
    return next.value;
  };
  expect([count(keys[0] ?? ""), count(keys[1] ?? ""), count(...keys), count()]).toEqual([1, 2, 2, 0]);
});

test("an update is under its patient's key; one that meets the erasure brings nothing back, under the key before or a later one", async () => {
  const updated = entry("updated", [patient("7")]);
  await store.commit(store.entries.add(updated));
  const update = (name: string) => store.entries.update(updated.id, { ...updated, entry: { name } });
  await store.commit(update("corrected"));
  expect(says("updated")).toEqual({ name: "corrected" });
  const late = update("late");
  await store.patientKeys.erase([patient("7")]);
  await store.commit(late);
  expect(says("updated")).toBeNull();
  await store.commit(add("of a later key", patient("7")));
  await store.commit(update("later"));
  expect([says("updated"), says("of a later key")]).toEqual([null, { name: "of a later key" }]);
  expect(unopened()).toEqual([]);
});
