/**
 * Retention of what was refused or filtered, or taken without a document or an instance: octets, keys and facts go, the row and its
 * fate stay; what anything else needs stays whole.
 */
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { sealOctets } from "../envelope/index.ts";
import { openRetention } from "../pipeline/retention.ts";
import type { Site } from "../pipeline/site.ts";
import { migrations } from "../store/schema.ts";
import { keptArrivalTable } from "../store/schema-kept-arrivals.ts";
import type { ArrivalRow, Delivery, Id, Item } from "../store/store.ts";
import { checked, codes } from "./commands/checked.ts";
import { octets } from "./envelope/people.ts";
import { arrival, clear, folder, freshStore, open, put, store } from "./store/fresh.ts";
import { asBefore } from "./store/rows.ts";

freshStore();

const dayMs = 86_400_000;
const days = (count: number): number => count * dayMs;
type Kept = { for?: number; size?: number };

const retention = (refused: Kept, filtered: Kept = {}, done: Kept = {}, steady = (): number => performance.now()) =>
  openRetention(
    {
      store,
      config: { own: { channels: [], retention: { refused, filtered, done, discarded: {}, audit: {} } } },
      log: () => undefined,
      // Nobody sets the one clock alone.
      now: () => new Date(Date.now() + steady() - performance.now()),
    } as unknown as Site,
    steady,
  );
const look = (...kept: Parameters<typeof retention>): Promise<number> => retention(...kept).look();

const idOf = (age: number): Id =>
  Math.floor(Date.now() - days(age))
    .toString(16)
    .padStart(12, "0") + randomBytes(10).toString("hex");

/** A message with a body of its own, or of what another blob has. */
async function came(age: number, change: Partial<ArrivalRow> = {}, size = 1_000): Promise<Id> {
  const id = idOf(age);
  const { cipher, facts } = sealOctets(octets(size, age));
  const own = store.blobs.own(id, cipher, facts);
  const row = arrival({ id, blob: own.name, state: "refused", code: "HL7_MALFORMED", controlId: id, ...change });
  const changes = row.blob === own.name ? [own.change] : [];
  await store.commit([...changes, store.arrivals.add(row)], [{ id, digest: "d" }]);
  return id;
}
const hasOctets = (id: Id): boolean => (store.arrivals.find(id)?.blob ?? null) !== null;

test("what is older loses octets, key and facts; rows, codes and the balance stay, and what was taken is left alone", async () => {
  const [old, young] = [await came(31), await came(29)];
  const [filtered, new_] = [await came(8, { state: "filtered" }), await came(6, { state: "filtered" })];
  const others = [await came(90, { state: "accepted" }), await came(90, { state: "done", channel: "adt" })];
  const balance = await store.checks.reconcile([]);
  const key = keyOf(old);
  await store.close();
  expect(kept().includes(key)).toBe(true);
  await open();
  expect(await look({ for: days(30) }, { for: days(7) })).toBe(2);
  expect([old, young, filtered, new_, ...others].map(hasOctets)).toEqual([false, true, false, true, true, true]);
  expect(store.blobs.has(old)).toBe(false);
  expect(store.arrivals.find(old)).toMatchObject({
    state: "refused",
    code: "HL7_MALFORMED",
    controlId: old,
    facts: null,
  });
  expect(await store.checks.reconcile([])).toEqual(balance);
  expect(await store.checks.dangling(10)).toEqual([]);
  expect(await look({ for: days(30) }, { for: days(7) })).toBe(0);
  await store.close();
  expect(kept().includes(key)).toBe(false);
  await open();
});

test("nothing said keeps all; what came within a day stays, however full", async () => {
  const ids = [await came(400), await came(0.9)];
  expect(await look({})).toBe(0);
  expect(await look({ for: days(30), size: 0 })).toBe(1);
  expect(ids.map(hasOctets)).toEqual([false, true]);
});

test("beyond its size the oldest go, until the rest fits, each state for itself", async () => {
  const ids = [await came(5), await came(4), await came(3), await came(2)];
  const other = await came(9, { state: "filtered" });
  expect(await look({ size: 2_500 })).toBe(2);
  expect(ids.map(hasOctets)).toEqual([false, false, true, true]);
  expect([store.keptArrivals.bytes("refused"), store.keptArrivals.bytes("filtered")]).toEqual([2_000, 0]);
  expect(store.kept.bytes()).toEqual({});
  expect(await look({ size: 2_500 }, { size: 10 })).toBe(1);
  expect(hasOctets(other)).toBe(false);
  // More than a page of them.
  for (let n = 0; n < 230; n += 1) await came(50, {}, 10);
  expect(await look({ size: 0 })).toBe(232);
  expect(store.keptArrivals.bytes("refused")).toBe(0);
});

test("one that was taken through its channel after all is not of these any more", async () => {
  const [taken, meanwhile] = [await came(40), await came(41)];
  await store.commit(store.keptArrivals.count("refused", 10));
  expect(store.keptArrivals.bytes("refused")).toBe(2_000);
  await store.commit([store.arrivals.settle(taken, { state: "done" })]);
  expect(store.keptArrivals.bytes("refused")).toBe(1_000);
  const { changes } = store.keptArrivals.shred("refused", [taken, meanwhile], "");
  await store.commit([store.arrivals.settle(meanwhile, { state: "done" })]);
  await store.commit(changes);
  expect([taken, meanwhile].map(hasOctets)).toEqual([true, true]);
  expect(await clear(meanwhile)).toHaveLength(1_000);
  expect(await look({ for: days(1) })).toBe(0);
});

test("octets of an instance go with the last that was refused, and stay while an item or a record has them", async () => {
  const uid = "1.2.840.1";
  const { name } = await put(octets(3_000, 71));
  const refused = { blob: name, controlId: uid, mediaType: "application/dicom" } as const;
  const [first, second] = [await came(40, refused), await came(20, refused)];
  await look({ for: days(30) });
  expect([hasOctets(first), hasOctets(second), store.blobs.has(name)]).toEqual([false, true, true]);
  await look({ for: days(10) });
  expect([hasOctets(second), store.blobs.has(name)]).toEqual([false, false]);

  const { name: shared } = await put(octets(3_000, 72));
  await came(40, { ...refused, blob: shared });
  await store.commit(
    store.items.add({
      ...{ id: store.newId(), kind: "instance", arrival: store.newId(), channel: "c", key: uid, digest: "d" },
      ...{ blob: shared, joins: [], patients: [], state: "held", code: null, reason: null, since: "", record: null },
      facts: null,
    }),
  );
  const { name: sealed } = await put(octets(3_000, 73));
  await came(40, { ...refused, blob: sealed });
  await store.commit(
    store.records.add({
      ...{ id: store.newId(), channel: "c", origin: "own", author: "a", manifest: Buffer.from("m"), key: "k" },
      ...{ signature: Buffer.from("s"), manifestSha256: "", parts: [{ n: 5, blob: sealed }], patients: [], code: null },
      ...{ state: "stored", reason: null, entry: null, createdAt: "" },
    }),
  );
  expect(await look({ for: days(10) })).toBe(2);
  expect([await clear(shared), await clear(sealed)].map(({ length }) => length)).toEqual([3_000, 3_000]);
  expect(await store.checks.dangling(10)).toEqual([]);
});

test("without a control id nobody finds who else has the octets: a blob that came again stays", async () => {
  const [once, again] = [await put(octets(3_000, 74)), await put(octets(3_000, 75))];
  await put(octets(3_000, 75));
  for (const { name } of [once, again]) await came(40, { blob: name, controlId: "" });
  expect(await look({ for: days(10) })).toBe(2);
  expect([once, again].map(({ name }) => store.blobs.has(name))).toEqual([false, true]);
});

const item = (change: Partial<Item>): Item => ({
  ...{ id: store.newId(), kind: "instance", arrival: store.newId(), channel: "c", key: "k", digest: "d", blob: "" },
  ...{ joins: [], patients: [], state: "sealed", code: null, reason: null, since: "", record: null, facts: null },
  ...change,
});

test("an admission loses its octets; a message of which a document or an instance was made is its record's", async () => {
  const taken = { state: "done", channel: "adt", code: null } as const;
  const [old, young, study] = [await came(40, taken), await came(6, taken), await came(40, taken)];
  await store.commit(store.items.add(item({ arrival: study, blob: study })));
  expect(await look({ for: days(1) }, { for: days(1) })).toBe(0);
  const key = keyOf(old);
  const balance = await store.checks.reconcile([]);
  expect(await look({}, {}, { for: days(7) })).toBe(1);
  expect([old, young, study].map(hasOctets)).toEqual([false, true, true]);
  expect(store.arrivals.find(old)).toMatchObject({ state: "done", controlId: old, facts: null });
  expect(await store.checks.reconcile([])).toEqual(balance);
  expect(await store.checks.dangling(10)).toEqual([]);
  await store.close();
  expect(kept().includes(key)).toBe(false);
  await open();
});

test("more than a page of admissions, and what comes of age later; one that was decided late goes within a day", async () => {
  const taken = { state: "done", channel: "adt", code: null } as const;
  for (let n = 0; n < 230; n += 1) await came(50, taken, 10);
  const [late, next] = [await came(60, { state: "accepted", code: null }), await came(20, taken)];
  const kept = { for: days(30) };
  let later = 0;
  const running = retention({}, {}, kept, () => performance.now() + later);
  expect(await running.look()).toBe(230);
  kept.for = days(10);
  await store.commit([store.arrivals.settle(late, { state: "done" })]);
  expect(await running.look()).toBe(1);
  expect([next, late].map(hasOctets)).toEqual([false, true]);
  later = dayMs;
  expect(await running.look()).toBe(1);
  expect(hasOctets(late)).toBe(false);
});

test("one of which a document is made meanwhile is not of these any more", async () => {
  const id = await came(40, { state: "done" });
  const { changes } = store.keptArrivals.shred("done", [id], "");
  await store.commit(store.items.add(item({ arrival: id, kind: "document", blob: id })));
  await store.commit(changes);
  expect(hasOctets(id)).toBe(true);
  expect(await clear(id)).toHaveLength(1_000);
});

test("what the registry was asked for forgets whom it was about once it has ended, and what waits stays", async () => {
  const payload = { patientIds: [{ root: "1.2", extension: "A123456789" }], admission: null };
  const fetch = (age: number, change: Partial<Delivery>): Delivery => ({
    ...{ id: idOf(age), kind: "fetch", channel: "c", destination: "registry", order: null, record: null, attempts: 1 },
    ...{ state: "delivered", due: 0, code: null, reason: null, createdAt: "", payload, ...change },
  });
  const all = [
    fetch(40, { order: store.tokens.of("patient", "fetch", "A") }),
    fetch(40, { state: "discarded" }),
    fetch(40, { kind: "retrieve", state: "discarded" }),
    fetch(6, {}),
    fetch(40, { state: "queued" }),
    fetch(40, { state: "parked" }),
    fetch(40, { kind: "retrieve", record: store.newId() }),
    fetch(40, { kind: "change" }),
  ];
  await store.commit(all.map((each) => store.deliveries.add(each)));
  expect(await look({}, {}, { for: days(7) })).toBe(3);
  const now = all.map(({ id }) => store.deliveries.find(id));
  expect(now.map((each) => each?.payload)).toEqual([null, null, null, ...Array.from({ length: 5 }, () => payload)]);
  expect(now[0]).toEqual({ ...all[0], order: null, payload: null });
  expect(await look({}, {}, { for: days(7) })).toBe(0);
});

test("what a repetition is known by goes after a day, a page at a time, and of one that stands in the way at once", async () => {
  const of = (token: string, age: number): ArrivalRow =>
    arrival({ id: idOf(age), repetition: token, receivedAt: new Date(Date.now() - days(age)).toISOString() });
  const [old, young] = [Array.from({ length: 2_500 }, (_, n) => of(`old${n}`, 2)), of("young", 0.5)];
  await store.commit([...old, young].map(store.arrivals.add));
  const known = (): number => {
    const index = new DatabaseSync(join(folder, "semrs.db"), { readOnly: true });
    const { n } = index.prepare("SELECT count(*) AS n FROM arrival WHERE repetition IS NOT NULL").get() ?? {};
    index.close();
    return Number(n);
  };
  await store.close();
  await open();
  await store.commit([store.arrivals.forget("old7"), store.arrivals.forget("young")]);
  expect(known()).toBe(old.length);
  expect(store.arrivals.byRepetition("young")).toEqual(young);
  await store.commit([store.arrivals.add(of("old7", 0))]);
  await look({});
  expect(known()).toBe(2);
});

test("files go when they are told to", async () => {
  const { name } = await put(octets(300_000, 76));
  const id = await came(40, { blob: name, controlId: "large" });
  const { changes, files } = store.keptArrivals.shred("refused", [id], "");
  expect(files).toHaveLength(1);
  await store.commit(changes);
  await store.kept.remove(files);
  expect(() => readFileSync(join(folder, "blobs", files[0]?.slice(0, 2) ?? "", files[0] ?? ""))).toThrow("ENOENT");
});

test("an upgrade finds those that are there", async () => {
  const [id, done] = [await came(40), await came(40, { state: "done" })];
  await store.close();
  const db = new DatabaseSync(join(folder, "semrs.db"));
  const undo =
    "DROP TABLE kept_arrival; DROP TRIGGER arrival_came; DROP TRIGGER arrival_ended; DROP TRIGGER arrival_resent";
  db.exec(asBefore(migrations.indexOf(keptArrivalTable), undo));
  db.close();
  await open();
  expect(await look({ for: days(30) })).toBe(1);
  expect([id, done].map(hasOctets)).toEqual([false, true]);
});

test.each([
  ["refused: { for: 12h }", "CONFIG_VALUE"],
  ["refused: { size: much }", "CONFIG_VALUE"],
  ["done: { for: 9d }", undefined],
  ["done: { size: 10GiB }", "CONFIG_UNKNOWN_KEY"],
  ["filtered: { for: 1d, size: 10GiB }", undefined],
  ["discarded: { for: 30d }", undefined],
  ["discarded: { for: 12h }", "CONFIG_VALUE"],
  ["discarded: { size: 10GiB }", "CONFIG_UNKNOWN_KEY"],
])("semrs check of retention: { %s }", async (text, code) => {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: this is how variables are written in the file
  const data = 'data: "${DATA:data}/hospital-a"';
  const { findings } = await checked([[data, `${data}\n    retention: { ${text} }`]]);
  expect(codes(findings)).toEqual(code ? [code] : []);
});

/** The sealed key and digests of a blob. */
function keyOf(name: string): Buffer {
  const db = new DatabaseSync(join(folder, "semrs.db"));
  const { digests } = db.prepare("SELECT digests FROM blob WHERE name = ?").get(name) as { digests: Uint8Array };
  db.close();
  return Buffer.from(digests);
}
const kept = (): Buffer => readFileSync(join(folder, "semrs.db"));
