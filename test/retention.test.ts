/** Retention: what is finished and old, or too much, becomes a tombstone; what anybody waits for stays, and what two need. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { sealOctets, sealPart } from "../envelope/index.ts";
import { pathOf } from "../store/blank-files.ts";
import { migrations } from "../store/schema.ts";
import type { Id } from "../store/store.ts";
import { octets, wire } from "./envelope/people.ts";
import { dayMs, daysAgo, isShredded, type Kept, name, record, retentionOf } from "./retained.ts";
import { arrival, clear, delivery, folder, freshStore, open, put, store } from "./store/fresh.ts";
import { asBefore } from "./store/rows.ts";

freshStore();

test("what another house sent keeps nothing of its patient either", async () => {
  const [id, { name: blob }] = [store.newId(), await put(octets(3_000, 4))];
  const patientIds = [{ root: "1", extension: "A123456789" }];
  const header = { code: {}, effectiveTime: "2026", patientIds, patientName: name, birthTime: "19850412", gender: "F" };
  const entry = { entry: { uniqueId: `1.2.3^${id}`, title: name, patientIds }, appends: null, instances: [], header };
  const sealed = { manifest: Buffer.from(name), signature: Buffer.from("signed"), manifestSha256: id };
  await store.commit([
    ...store.records.add({
      ...{ id, channel: "documents", origin: "received", author: "a", key: id, state: "delivered", ...sealed },
      ...{ parts: [{ n: 1, blob }], patients: [], code: null, reason: null, entry, createdAt: daysAgo(31) },
    }),
    store.deliveries.add(delivery({ record: id, state: "delivered", channel: "documents" })),
  ]);
  await retentionOf({ for: 30 * dayMs }).look();
  expect(isShredded(id)).toBe(true);
  expect(JSON.stringify(store.records.find(id)?.entry)).not.toMatch(/陳怡君|A123456789|19850412/);
});

test("what is finished and older loses its octets and everything of its patient; the rows, their states and times stay", async () => {
  const [file, small] = [await put(octets(300_000, 1)), await put(octets(3_000, 2))];
  const [old, older, young] = [
    await record({ days: 31, blob: file.name }),
    await record({ days: 40, blob: small.name }),
    await record({ days: 29, blob: (await put(octets(3_000, 3))).name }),
  ];
  const told: string[] = [];
  expect(await retentionOf({ for: 30 * dayMs }, told).look()).toBe(2);
  expect([old, older, young].map(isShredded)).toEqual([true, true, false]);
  expect(store.blobs.has(file.name) || store.blobs.has(small.name)).toBe(false);
  expect(told).toEqual(["retention.shredded"]);

  const kept = store.records.find(old);
  const [item] = store.items.byRecord(old);
  const [sent] = store.deliveries.list({ record: old, limit: 1 });
  expect(kept).toMatchObject({ state: "registered", key: old, entry: { uniqueId: `1.2.3^${old}` } });
  const row = store.arrivals.find(item?.arrival ?? "");
  expect(row).toMatchObject({ state: "done", controlId: "C1" });
  expect(JSON.stringify([kept, item, sent, row, Buffer.from(kept?.manifest ?? []).toString()])).not.toContain(name);
  const patient = store.tokens.of("patient", "x", name);
  expect(JSON.stringify([kept, item, sent])).not.toContain(patient);
  expect(store.items.joined("document", [store.tokens.of("reference", "", old)])).toEqual([]);
  expect(await store.checks.dangling(10)).toEqual([]);
  expect(await store.checks.reconcile(["documents"])).toMatchObject({
    channels: [{ accepted: 3, delivered: 3, lost: 0 }],
  });
  expect(store.kept.bytes()).toEqual({ documents: 3_000 });
});

test.each<Partial<Kept>>([
  { delivered: "queued" },
  { delivered: "inflight" },
  { delivered: "ambiguous" },
  { delivered: "parked" },
])("what is %j stays, however old and however much", async (waits) => {
  const { name: blob } = await put(octets(3_000, 4));
  const id = await record({ days: 4_000, blob, ...waits });
  expect(await retentionOf({ for: 1, size: 0 }).look()).toBe(0);
  expect(isShredded(id)).toBe(false);
  expect(await clear(blob)).toHaveLength(3_000);
});

test("beyond its size the oldest go, until the rest fits; what is of this hour stays", async () => {
  const blobs = await Promise.all([5, 6, 7, 8].map(async (seed) => (await put(octets(10_000, seed))).name));
  const ids: Id[] = [];
  for (const [n, blob] of blobs.entries()) ids.push(await record({ days: 3 - n, blob }));
  expect(await retentionOf({ size: 25_000 }).look()).toBe(2);
  expect(ids.map(isShredded)).toEqual([true, true, false, false]);
  expect(await retentionOf({ size: 0 }).look()).toBe(1);
  expect(ids.map(isShredded)).toEqual([true, true, true, false]);
  expect(store.kept.bytes()).toEqual({ documents: 10_000 });
  await store.close();
  await open();
  expect(store.kept.bytes()).toEqual({ documents: 10_000 });
  expect(await retentionOf({ size: 0 }).look()).toBe(0);
});

test("octets that two records share go with the last of them", async () => {
  const { name: blob } = await put(octets(3_000, 9));
  const [first, second] = [await record({ days: 40, blob }), await record({ days: 20, blob })];
  await retentionOf({ for: 30 * dayMs }).look();
  expect([isShredded(first), isShredded(second)]).toEqual([true, false]);
  expect(await clear(blob)).toHaveLength(3_000);
  await retentionOf({ for: 10 * dayMs }).look();
  expect(store.blobs.has(blob)).toBe(false);
});

test.for([3_000, 300_000])(
  "%i octets that came again stay for whoever waits with them; gone between the look and the commit, they conflict",
  async (size) => {
    const bytes = octets(size, 10);
    const { name: blob } = await put(bytes);
    await record({ days: 40, blob });
    const part = sealPart(wire(bytes), "segments");
    const staged = await store.blobs.put(part.cipher, part.facts);
    await store.commit([staged.change]);
    await retentionOf({ for: dayMs }).look();
    expect(await clear(blob)).toHaveLength(size);

    const again = sealPart(wire(bytes), "segments");
    const late = await store.blobs.put(again.cipher, again.facts);
    await store.commit([store.blobs.drop(blob)]);
    if (size > 65_536) await expect(store.commit([late.change])).rejects.toMatchObject({ code: "STORE_CONFLICT" });
    else {
      await store.commit([late.change]);
      expect(await clear(blob)).toHaveLength(size);
    }
  },
);

test("what is left of its message goes with it, and a large one, unless it came again", async () => {
  const frame = store.newId();
  const { cipher, facts } = sealOctets(octets(200, 15));
  await store.commit([store.blobs.own(frame, cipher, facts).change]);
  const [large, twice] = [await put(octets(100_000, 16)), await put(octets(100_000, 17))];
  const bodies = [frame, large.name, twice.name];
  for (const [n, body] of bodies.entries())
    await record({ days: 40, blob: (await put(octets(3_000, 18 + n))).name, body });
  await store.commit([store.arrivals.add(arrival({ state: "filtered", blob: twice.name }))]);
  expect(await retentionOf({ for: dayMs }).look()).toBe(3);
  expect(bodies.map(store.blobs.has)).toEqual([false, false, true]);
  expect(await store.checks.dangling(10)).toEqual([]);
});

test("what a version before left of messages goes with the upgrade, and nothing else", async () => {
  const [left, mine] = [store.newId(), store.newId()];
  for (const [n, name] of [left, mine].entries()) {
    const { cipher, facts } = sealOctets(octets(200, 20 + n));
    await store.commit([store.blobs.own(name, cipher, facts).change]);
  }
  await store.commit([store.arrivals.add(arrival({ blob: mine }))]);
  const { name: document } = await put(octets(3_000, 22));
  await store.close();
  const db = new DatabaseSync(join(folder, "semrs.db"));
  db.exec(asBefore(migrations.findIndex((sql) => sql.includes("length(name) = 32"))));
  db.close();
  await open();
  expect([left, mine, document].map(store.blobs.has)).toEqual([false, true, true]);
});

test("files of what was shredded go when they are told to, and only where no row names them any more", async () => {
  const [gone, there] = [await put(octets(300_000, 13)), await put(octets(300_000, 14))];
  await record({ days: 40, blob: gone.name });
  const db = new DatabaseSync(join(folder, "semrs.db"));
  const files = [gone, there].map(({ name: blob }) => {
    const { file } = db.prepare("SELECT file FROM blob WHERE name = ?").get(blob) as { file: string };
    return file;
  });
  db.close();
  const areThere = (): readonly boolean[] => files.map((file) => existsSync(pathOf(join(folder, "blobs"), file)));
  await retentionOf({ for: dayMs }).look();
  expect(areThere()).toEqual([true, true]);
  await store.kept.remove(files);
  expect(areThere()).toEqual([false, true]);
  expect(await clear(there.name)).toHaveLength(300_000);
});

test("an envelope's id is forgotten once its time is over, however many there are, and not before", async () => {
  const over = Array.from({ length: 2_500 }, (_, n) =>
    store.messages.saw("hospital-b", `over${n}`, Date.now() - n - 1),
  );
  await store.commit([...over, store.messages.saw("hospital-b", "open", Date.now() + dayMs)]);
  await retentionOf({}).look();
  const seen = (id: string): boolean => store.messages.hasSeen("hospital-b", id);
  expect(["over0", "over1234", "over2499", "open"].map(seen)).toEqual([false, false, false, true]);
});

test("somebody who begins to wait meanwhile keeps it", async () => {
  const { name: blob } = await put(octets(3_000, 11));
  const id = await record({ days: 40, blob });
  await store.commit(store.kept.count(10));
  const [row] = store.kept.finished({ channel: "documents", before: daysAgo(1), limit: 1 });
  if (!row) throw new Error("nothing is finished");
  const { changes } = store.kept.shred(row, { record: null, items: {} }, daysAgo(90));
  await store.commit([store.deliveries.add(delivery({ record: id }))]);
  await expect(store.commit(changes)).rejects.toMatchObject({ code: "STORE_CONFLICT" });
  expect(isShredded(id)).toBe(false);
});

test("the sealed key of a shredded blob is nowhere in the data folder any more", async () => {
  const { name: blob } = await put(octets(3_000, 12));
  await record({ days: 40, blob });
  const db = new DatabaseSync(join(folder, "semrs.db"));
  // Key and digests are sealed together.
  const { digests: sealed } = db.prepare("SELECT digests FROM blob WHERE name = ?").get(blob) as {
    digests: Uint8Array;
  };
  db.close();
  const file = (): Buffer => Buffer.concat(["semrs.db", "semrs.db-wal"].map((each) => readIfThere(join(folder, each))));
  expect(file().includes(Buffer.from(sealed))).toBe(true);
  await retentionOf({ for: dayMs }).look();
  await store.close();
  expect(file().includes(Buffer.from(sealed))).toBe(false);
  await open();
});

function readIfThere(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch {
    return Buffer.alloc(0);
  }
}

test("a record that cannot be read is told, and keeps no other from its end", async () => {
  const [damaged, other] = [
    await record({ days: 41, blob: (await put(octets(3_000, 92))).name }),
    await record({ days: 40, blob: (await put(octets(3_000, 93))).name }),
  ];
  const index = new DatabaseSync(join(folder, "semrs.db"));
  index.prepare("UPDATE record SET entry = x'00' WHERE id = ?").run(damaged);
  index.close();
  const told: string[] = [];
  const { look } = retentionOf({ for: 30 * dayMs }, told);
  for (const expected of [["retention.shredded"], []]) {
    await expect(look()).rejects.toMatchObject({ code: "STORE_DAMAGED" });
    expect(told.splice(0)).toEqual(expected);
  }
  expect(isShredded(other)).toBe(true);
  expect(store.items.byRecord(damaged)[0]?.blob).not.toBe("");
});
