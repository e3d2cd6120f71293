/** The national index in the store: what finds an entry stays with it, in either level and through an upgrade. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { openSettling } from "../../exchange/settling.ts";
import { openStore } from "../../store/index.ts";
import { storageKeys } from "../../store/keys.ts";
import { migrations } from "../../store/schema.ts";
import type { NewEntry } from "../../store/store.ts";
import { until } from "../sites.ts";
import { freshStore, key, store } from "./fresh.ts";
import { keyRowBefore } from "./rows.ts";

freshStore();

const latest = { limit: 10, moment: Number.MAX_SAFE_INTEGER };
const token = (label: "patient" | "document" | "reference", value: string) => store.tokens.of(label, "", value);
const entry = (name: string, change: Partial<NewEntry> = {}): NewEntry => ({
  id: store.newId(),
  submission: "5".repeat(32),
  org: "hospital-a",
  key: token("document", name),
  patients: [token("patient", "1")],
  references: [token("reference", "ACC")],
  related: [],
  form: "113",
  createdAt: "2026-01-01T00:00:00.000Z",
  manifestSha256: "0".repeat(64),
  entry: { name },
  ...change,
});
const found = () => store.entries.find("patient", [token("patient", "1")], latest).map((row) => row.entry);

test("a house registers a document once, whichever level it is in, and a commit with a second one changes nothing", async () => {
  await store.commit(store.entries.add(entry("a")));
  const conflict = { code: "STORE_CONFLICT" };
  const again = () => store.commit([...store.entries.add(entry("b")), ...store.entries.add(entry("a"))]);
  await expect(again()).rejects.toMatchObject(conflict);
  await store.commit(store.entries.settle({ rows: 100, least: 1 }));
  await expect(again()).rejects.toMatchObject(conflict);
  expect(found()).toEqual([{ name: "a" }]);
  await store.commit(store.entries.add(entry("a", { org: "hospital-b" })));
  expect(store.entries.byKey(token("document", "a")).map(({ org }) => org)).toEqual(["hospital-b", "hospital-a"]);
});

test("what is moved is found as before, and is moved whole although more comes meanwhile", async () => {
  for (const name of ["a", "b", "c"]) await store.commit(store.entries.add(entry(name)));
  const steps: number[] = [];
  for (let step = store.entries.settle({ rows: 2, least: 3 }); step.length > 0; ) {
    await store.commit(step);
    steps.push(found().length);
    if (steps.length === 2) await store.commit(store.entries.add(entry("d")));
    step = store.entries.settle({ rows: 2, least: 3 });
  }
  expect(steps.length).toBeGreaterThan(3);
  expect(found()).toEqual(["d", "c", "b", "a"].map((name) => ({ name })));
  expect(store.entries.find("reference", [token("reference", "ACC")], latest).length).toBe(4);
});

test("in the background, until the small level is empty", async () => {
  for (const name of ["a", "b", "c"]) await store.commit(store.entries.add(entry(name)));
  const settling = openSettling(store, () => undefined, { rows: 2, least: 1 });
  const recent = () => store.entries.settle({ rows: 1, least: 1 }).length;
  await until("all is moved", () => recent() === 0);
  await settling.stop();
  expect(found()).toEqual(["c", "b", "a"].map((name) => ({ name })));
});

test("an entry of a moment is as it was then, whatever became of it", async () => {
  const one = entry("a");
  await store.commit(store.entries.add(one));
  const before = store.entries.moment();
  await store.commit(store.entries.deprecate(one.id));
  await store.commit(store.entries.replace("hospital-a", token("document", "b"), "2026"));
  await store.commit(store.entries.add(entry("b")));
  const at = (moment: number) =>
    store.entries.find("patient", one.patients, { limit: 10, moment }).map(({ status }) => status);
  expect(at(before)).toEqual(["approved"]);
  expect(at(before + 1)).toEqual(["deprecated"]);
  expect(at(store.entries.moment())).toEqual(["deprecated", "deprecated"]);
});

test("a replacement and its original that are registered at once leave one to be found, whichever is first", async () => {
  const { add, replace } = store.entries;
  const [original, other] = [entry("a"), entry("c")];
  const replacing = [replace("hospital-a", original.key, "2026"), replace("hospital-a", other.key, "2026")];
  // Each list of changes is made before any of them is committed, as concurrent requests make them.
  await Promise.all(
    [add(original), replacing[0] ?? [], add(entry("b")), replacing[1] ?? [], add(other)].map((changes) =>
      store.commit(changes),
    ),
  );
  const rows = store.entries.find("patient", original.patients, latest);
  expect(rows.filter(({ status }) => status === "approved").map((row) => row.entry)).toEqual([{ name: "b" }]);
  await store.commit([...replace("hospital-b", token("document", "b"), "2026")]);
  expect(store.entries.byKey(token("document", "b"))[0]?.status).toBe("approved");
});

test("a data folder of before the two levels is found as it was", async () => {
  const folder = mkdtempSync(join(tmpdir(), "semrs-old-"));
  const old = new DatabaseSync(join(folder, "semrs.db"));
  for (const [index, sql] of migrations.slice(0, 7).entries()) old.exec(`${sql}; PRAGMA user_version = ${index + 1}`);
  const keys = storageKeys(key);
  old.prepare("INSERT INTO meta VALUES ('key', ?)").run(keyRowBefore(key));
  const ids = ["1", "2"].map((digit) => digit.repeat(32));
  const number = "9".repeat(32);
  old.prepare("INSERT INTO patient VALUES (?, ?)").run(token("patient", "1"), number);
  for (const [n, id] of ids.entries()) {
    const sealed = keys.seal(`entry\0${id}\0entry`, Buffer.from(`{"n":${n}}`));
    old
      .prepare("INSERT INTO entry VALUES (?, 'hospital-a', ?, '113', ?, ?, ?, ?)")
      .run(id, token("document", id), n === 0 ? "deprecated" : "approved", `2026-01-0${n + 1}`, "0".repeat(64), sealed);
    old.prepare("INSERT INTO entry_patient VALUES (?, ?, ?)").run(number, `2026-01-0${n + 1}`, id);
    old.prepare("INSERT INTO entry_reference VALUES (?, ?, ?)").run(token("reference", "A"), `2026-01-0${n + 1}`, id);
  }
  old.close();
  const upgraded = await openStore({ folder, key, now: () => new Date() });
  const { entries } = upgraded;
  const slice = { limit: 10, moment: entries.moment() };
  const rows = entries.find("patient", [token("patient", "1")], slice);
  expect(rows.map(({ entry: kept, status }) => [kept, status])).toEqual([
    [{ n: 1 }, "approved"],
    [{ n: 0 }, "deprecated"],
  ]);
  expect(entries.find("reference", [token("reference", "A")], slice)).toEqual(rows);
  expect(entries.byKey(token("document", ids[0] ?? ""))[0]?.id).toBe(ids[0]);
  await expect(upgraded.commit(entries.add(entry(ids[0] ?? "")))).rejects.toMatchObject({ code: "STORE_CONFLICT" });
  await upgraded.commit(entries.add(entry("new")));
  expect(entries.moment()).toBe(3);
  await upgraded.close();
});
