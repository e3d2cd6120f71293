/** Retention of documents and instances that ended without a record: octets, keys and facts go, rows stay; what anything else needs stays whole. */
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { sealOctets } from "../envelope/index.ts";
import { openRetention } from "../pipeline/retention.ts";
import type { Site } from "../pipeline/site.ts";
import { backUp, restore } from "../store/backup.ts";
import type { ArrivalRow, Id, Item } from "../store/store.ts";
import { octets } from "./envelope/people.ts";
import { arrival, clear, folder, freshStore, key, open, put, store } from "./store/fresh.ts";

freshStore();

const dayMs = 86_400_000;
const month = { for: 30 * dayMs };
const name = "陳怡君";
const retention = (discarded: { for?: number }, told: unknown[] = [], steady?: () => number) =>
  openRetention(
    {
      store,
      config: {
        own: { channels: [], retention: { refused: {}, filtered: {}, done: {}, discarded, audit: {} } },
      },
      log: (event: string, fields: unknown) => told.push([event, fields]),
      now: () => new Date(),
    } as unknown as Site,
    steady,
  );
const look = (discarded: { for?: number }): Promise<number> => retention(discarded).look();
const idOf = (days: number): Id =>
  Math.floor(Date.now() - days * dayMs)
    .toString(16)
    .padStart(12, "0") + randomBytes(10).toString("hex");

/** A message with a body of its own. */
async function came(days: number, change: Partial<ArrivalRow> = {}): Promise<Id> {
  const id = idOf(days);
  const { cipher, facts } = sealOctets(octets(1_000, days));
  const own = store.blobs.own(id, cipher, facts);
  const row = arrival({ id, blob: own.name, state: "done", channel: "documents", controlId: id, ...change });
  const body = row.blob === own.name ? [own.change] : [];
  await store.commit([...body, store.arrivals.add(row)], [{ id, digest: "d" }]);
  return id;
}
const patient = (): string => store.tokens.of("patient", "", name);
const accession = (): string => store.tokens.of("reference", "accession", "ACC1");

/** A document or an instance of one patient. */
async function made(days: number, change: Partial<Item>, attachments: readonly string[] = []): Promise<Item> {
  const id = idOf(days);
  const entry = { uniqueId: `1.2^${id}`, title: name, patientIds: [{ root: "1", extension: name }], hash: "h" };
  const item: Item = {
    ...{
      id,
      kind: "document",
      arrival: change.arrival ?? (await came(days)),
      channel: "documents",
      key: id,
      digest: id,
    },
    ...{ blob: "", joins: [`name:${id}`, `accession:${accession()}`], patients: [patient()], state: "discarded" },
    ...{ code: "PATIENT_MISMATCH", reason: "of another patient", since: new Date().toISOString(), record: null },
    facts: {
      ...{ entry, event: "new", messageType: "113", refers: false, extensions: [name] },
      ...(attachments.length > 0
        ? { attachments: attachments.map((blob) => ({ blob, type: "application/pdf" })) }
        : {}),
    },
    ...change,
  };
  await store.commit(store.items.add(item));
  return item;
}
const document = async (days: number, seed: number, change: Partial<Item> = {}): Promise<Item> =>
  await made(days, { blob: (await put(octets(3_000, seed))).name, ...change });
const instance = async (days: number, blob: string, change: Partial<Item> = {}): Promise<Item> => {
  const uid = `1.2.${days}.${Math.floor(days * 7)}`;
  const arrived = await came(days, { blob, controlId: change.key ?? uid, mediaType: "application/dicom" });
  const facts = { sopInstanceUid: uid, patientId: name, accessionNumber: "ACC1", studyDate: "20261101" };
  return await made(days, { kind: "instance", arrival: arrived, key: uid, blob, facts, ...change });
};
const hasOctets = ({ id }: Item): boolean => (store.items.find(id)?.blob ?? "") !== "";
const isWhole = async (): Promise<void> => expect(await store.checks.dangling(10)).toEqual([]);

test("what was discarded and is older loses octets, keys and what it says of its patient; its fate stays", async () => {
  const [old, young] = [await document(31, 1), await document(29, 2)];
  const others = [await document(90, 3, { state: "held" }), await document(90, 4, { state: "waiting" })];
  const balance = await store.checks.reconcile(["documents"]);
  const secrets = [keyOf(old.blob), keyOf(old.arrival)];
  await store.close();
  expect(secrets.map((each) => kept().includes(each))).toEqual([true, true]);
  await open();
  const told: unknown[] = [];
  expect(await retention(month, told).look()).toBe(1);
  expect(told).toEqual([["retention.shredded", { reason: "discarded", count: 1 }]]);
  expect([old, young, ...others].map(hasOctets)).toEqual([false, true, true, true]);
  expect([store.blobs.has(old.blob), store.blobs.has(old.arrival)]).toEqual([false, false]);
  const now = store.items.find(old.id);
  const { id, kind, key, digest, state, code, reason, since } = old;
  expect(now).toMatchObject({ id, kind, key, digest, state, code, reason, since, blob: "", joins: [], patients: [] });
  expect(now?.facts).toMatchObject({ messageType: "113", entry: { uniqueId: `1.2^${id}`, hash: "h" } });
  const came = store.arrivals.find(old.arrival);
  expect(came).toMatchObject({ state: "done", controlId: old.arrival, blob: null, facts: null });
  expect(JSON.stringify([now, came])).not.toContain(name);
  expect(store.items.joined("document", old.joins).map(({ id }) => id)).not.toContain(old.id);
  const tokens = [patient(), accession()];
  expect([old, young].map((each) => store.search.has(tokens, each.arrival))).toEqual([false, true]);
  expect(await store.checks.reconcile(["documents"])).toEqual(balance);
  await isWhole();
  expect(await look(month)).toBe(0);
  expect(await look({})).toBe(0);
  await store.close();
  expect(secrets.map((each) => kept().includes(each))).toEqual([false, false]);
  await open();
});

test("an instance goes with its arrival's octets; they stay with whoever else has them", async () => {
  const blobs = await Promise.all([5, 6, 7].map(async (seed) => (await put(octets(3_000, seed))).name));
  const [alone = "", refused = "", sealed = ""] = blobs;
  const items = [await instance(40, alone), await instance(41, refused), await instance(42, sealed)];
  await came(39, { state: "refused", blob: refused, controlId: items[1]?.key ?? "" });
  await recordOf(sealed);
  expect(await look(month)).toBe(3);
  expect(items.map(hasOctets)).toEqual([false, false, false]);
  expect(items.map((each) => store.arrivals.find(each.arrival)?.blob)).toEqual([null, null, null]);
  expect(blobs.map(store.blobs.has)).toEqual([false, true, true]);
  expect(JSON.stringify(items.map(({ id }) => store.items.find(id)?.facts))).not.toContain(name);
  await isWhole();
});

test("another document of its message keeps what came, and is found by its patient", async () => {
  const of = await came(40);
  const [one, other] = [
    await document(40, 8, { arrival: of }),
    await document(40, 9, { arrival: of, state: "held", joins: [] }),
  ];
  expect(await look(month)).toBe(1);
  expect([one, other].map(hasOctets)).toEqual([false, true]);
  expect(await clear(of)).toHaveLength(1_000);
  expect([patient(), accession()].map((token) => store.search.has([token], of))).toEqual([true, false]);
  await store.commit([store.items.mark(other.id, { state: "discarded" })]);
  expect(await look(month)).toBe(1);
  expect([store.blobs.has(of), store.arrivals.find(of)?.blob]).toEqual([false, null]);
  expect(store.search.has([patient()], of)).toBe(false);
  await isWhole();
});

test("octets that came again go with the last that has them, and never those of one that waits", async () => {
  const { name: blob } = await put(octets(3_000, 10));
  const [first, again, last] = [
    await made(50, { blob, key: "k", digest: "1" }),
    await made(20, { blob, key: "k", digest: "2" }),
    await made(10, { blob, key: "k", digest: "3", state: "waiting" }),
  ];
  await put(octets(3_000, 10));
  expect(await look(month)).toBe(1);
  expect([first, again].map(hasOctets)).toEqual([false, true]);
  expect(await look({ for: 15 * dayMs })).toBe(1);
  expect(await clear(blob)).toHaveLength(3_000);
  await isWhole();
  await store.commit([store.items.mark(last.id, { state: "discarded" })]);
  expect(await look({ for: dayMs })).toBe(1);
  expect(store.blobs.has(blob)).toBe(false);
  expect(inIndex("SELECT count(*) AS n FROM kept_blob").n).toBe(0);
});

test("what a record's retention ends stays for one that was discarded or refused, and goes with that", async () => {
  const [{ name: blob }, { name: image }] = [await put(octets(3_000, 11)), await put(octets(3_000, 21))];
  const discarded = await made(40, { blob, key: "k", digest: "1" });
  const record = await recordOf(blob, image);
  await made(39, { blob, key: "k", digest: "2", state: "sealed", record });
  const { key } = await instance(39, image, { state: "sealed", record });
  const refused = await came(40, { state: "refused", blob: image, controlId: key });
  await store.commit(store.kept.count(10));
  const [row] = store.kept.finished({ channel: "documents", before: "9", limit: 1 });
  if (!row) throw new Error("nothing is finished");
  await store.commit(store.kept.shred(row, { record: null, items: {} }, "9").changes);
  await isWhole();
  expect(await clear(blob)).toHaveLength(3_000);
  expect([await look(month), hasOctets(discarded), store.blobs.has(blob)]).toEqual([1, false, false]);
  expect(await clear(image)).toHaveLength(3_000);
  await store.commit(store.keptArrivals.shred("refused", [refused], "").changes);
  expect(store.blobs.has(image)).toBe(false);
});

test("a PDF beside it goes, one that a record has stays, and what came again may be of another that waits for 90 days", async () => {
  const pdfs = await Promise.all([12, 13, 14].map(async (seed) => (await put(octets(3_000, seed))).name));
  const [alone = "", sealed = "", again = ""] = pdfs;
  await recordOf(sealed);
  await put(octets(3_000, 14));
  const blob = async (seed: number) => ({ blob: (await put(octets(3_000, seed))).name });
  const items = [await made(40, await blob(15), [alone, sealed]), await made(40, await blob(16), [again])];
  expect(await look(month)).toBe(1);
  expect(items.map(hasOctets)).toEqual([false, true]);
  expect(pdfs.map(store.blobs.has)).toEqual([false, true, true]);
  expect(JSON.stringify(store.items.find(items[0]?.id ?? "")?.facts)).not.toContain("pdf");
  inIndex("UPDATE kept_blob SET record = '~2020-01-01T00' WHERE record > '~'");
  expect(await look(month)).toBe(1);
  expect(pdfs.map(store.blobs.has)).toEqual([false, true, false]);
  await isWhole();
});

test("one that waits again when it is committed stays whole; one whose retention is over waits no more", async () => {
  const item = await document(40, 17);
  const { changes } = store.keptItems.shred([{ item, husk: null, attachments: [] }], "");
  await store.commit(store.items.again(item.id, "2026"));
  await store.commit(changes);
  expect(store.items.find(item.id)).toEqual({ ...item, state: "waiting", code: null, reason: null, since: "2026" });
  expect([await clear(item.blob), await clear(item.arrival)].map(({ length }) => length)).toEqual([3_000, 1_000]);
  expect(store.search.has([patient()], item.arrival)).toBe(true);
  expect(store.items.joined("document", item.joins)).toHaveLength(1);
  await store.commit([store.items.mark(item.id, { state: "discarded" })]);
  await store.commit(changes);
  await expect(store.commit(store.items.again(item.id, "2026"))).rejects.toMatchObject({ code: "STORE_CONFLICT" });
  expect(store.items.find(item.id)).toMatchObject({ state: "discarded", blob: "" });
});

test("more than a page of them; what is discarded late goes within an hour", async () => {
  const { name: blob } = await put(octets(3_000, 18));
  for (let n = 0; n < 120; n += 1)
    await made(60, {
      kind: n % 2 ? "document" : "instance",
      blob,
      facts: {
        entry: {},
      },
    });
  const late = await document(70, 19, { state: "held" });
  let ms = 0;
  const running = retention(month, [], () => ms);
  expect(await running.look()).toBe(120);
  expect(store.blobs.has(blob)).toBe(false);
  await store.commit([store.items.mark(late.id, { state: "discarded" })]);
  expect(await running.look()).toBe(0);
  ms += 3_600_000;
  expect([await running.look(), hasOctets(late)]).toEqual([1, false]);
});

test("files go when they are told to; a backup that is taken then is whole", async () => {
  const { name: blob } = await put(octets(300_000, 20));
  const item = await made(40, { blob });
  const { changes, files } = store.keptItems.shred([{ item, husk: null, attachments: [] }], "");
  expect(files).toHaveLength(1);
  await store.commit(changes);
  await store.kept.remove(files);
  expect(() => readFileSync(join(folder, "blobs", files[0]?.slice(0, 2) ?? "", files[0] ?? ""))).toThrow("ENOENT");
  const [backup, restored] = ["backup", "restored"].map((each) => join(folder, "..", each)) as [string, string];
  backUp(folder, backup, "hospital-a", new Date());
  restore(backup, restored, key);
  await store.close();
  await open({ folder: restored });
  expect(store.items.find(item.id)).toMatchObject({ state: "discarded", blob: "", facts: null });
  expect(store.missing).toEqual([]);
  await isWhole();
});

async function recordOf(...blobs: readonly string[]): Promise<Id> {
  const id = store.newId();
  await store.commit(
    store.records.add({
      ...{ id, channel: "documents", origin: "own", author: "a", manifest: Buffer.from("m"), key: "k", code: null },
      ...{
        signature: Buffer.from("s"),
        manifestSha256: id,
        parts: blobs.map((blob, n) => ({ n, blob })),
        patients: [],
        state: "stored",
      },
      ...{ reason: null, entry: null, createdAt: "2026" },
    }),
  );
  return id;
}

/** The sealed key and digests of a blob. */
const keyOf = (blob: string): Buffer =>
  Buffer.from(inIndex("SELECT digests FROM blob WHERE name = ?", blob).digests as Uint8Array);
function inIndex(sql: string, ...values: readonly string[]): Readonly<Record<string, unknown>> {
  const db = new DatabaseSync(join(folder, "semrs.db"));
  const row = db.prepare(sql).get(...values) ?? {};
  db.close();
  return row;
}
const kept = (): Buffer => readFileSync(join(folder, "semrs.db"));

test("one that cannot be read is told, and keeps no other from its end", async () => {
  const [damaged, other] = [await document(41, 1), await document(40, 2)];
  const index = new DatabaseSync(join(folder, "semrs.db"));
  index.prepare("UPDATE item SET facts = x'00' WHERE id = ?").run(damaged.id);
  index.close();
  const told: unknown[] = [];
  await expect(retention(month, told).look()).rejects.toMatchObject({ code: "STORE_DAMAGED" });
  expect(store.items.find(other.id)?.blob).toBe("");
  expect(told).toEqual([["retention.shredded", { reason: "discarded", count: 1 }]]);
});
