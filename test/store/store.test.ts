/** The store's promises, on the real one: durable, atomic, sealed, one owner, damage named. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  appendFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openCipher, sealPart } from "../../envelope/index.ts";
import { openStore, type StoreOptions } from "../../store/index.ts";
import type { ArrivalRow, Delivery, Item, Store } from "../../store/store.ts";
import { octets, wire } from "../envelope/people.ts";

const key = Buffer.alloc(32, 5);
let folder: string;
let store: Store;

const open = (change: Partial<StoreOptions> = {}): Promise<Store> =>
  openStore({ folder, key, now: () => new Date(), ...change });
beforeEach(async () => {
  folder = join(mkdtempSync(join(tmpdir(), "semrs-store-")), "data");
  store = await open();
});
afterEach(() => store.close().catch(() => undefined));

const arrival = (change: Partial<ArrivalRow> = {}): ArrivalRow => ({
  id: store.newId(),
  source: "his",
  channel: null,
  mediaType: "application/hl7-v2",
  controlId: "C1",
  sender: "x",
  repetition: null,
  digest: "d",
  blob: null,
  state: "accepted",
  code: null,
  reason: null,
  receivedAt: new Date().toISOString(),
  facts: { name: "陳怡君" },
  ...change,
});
const delivery = (change: Partial<Delivery> = {}): Delivery => ({
  id: store.newId(),
  kind: "register",
  channel: "c",
  destination: "registry",
  order: null,
  record: null,
  state: "queued",
  attempts: 0,
  due: 0,
  code: null,
  reason: null,
  createdAt: new Date().toISOString(),
  payload: { patient: "A223456781" },
  ...change,
});

async function put(bytes: Uint8Array): Promise<{ name: string; fresh: boolean }> {
  const part = sealPart(wire(bytes), "segments");
  const staged = await store.blobs.put(part.cipher, part.facts);
  await store.commit([staged.change]);
  return staged;
}

async function clear(name: string): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of openCipher(store.blobs.read(name), store.blobs.facts(name))) pieces.push(piece);
  return Buffer.concat(pieces);
}

describe("commits", () => {
  test("many callers share transactions; one that conflicts takes nobody with it", async () => {
    const good = Array.from({ length: 50 }, () => arrival());
    const [first] = good;
    if (!first) throw new Error("none");
    await store.commit([store.arrivals.add(first)]);
    const results = await Promise.allSettled(
      [...good.slice(1), first].map((row) =>
        store.commit([store.arrivals.add(row), store.messages.took("x", row.id, "")], [{ id: row.id, digest: "00" }]),
      ),
    );
    expect(results.filter(({ status }) => status === "rejected")).toHaveLength(1);
    expect(results.at(-1)).toMatchObject({ reason: { code: "STORE_CONFLICT" } });
    expect(store.arrivals.counts()).toEqual({ accepted: 50 });
  });

  test("a commit is all or nothing", async () => {
    const row = arrival();
    await store.commit([store.arrivals.add(row)]);
    const other = arrival();
    await expect(store.commit([store.arrivals.add(other), store.arrivals.add(row)])).rejects.toMatchObject({
      code: "STORE_CONFLICT",
    });
    expect(store.arrivals.find(other.id)).toBeUndefined();
  });

  test("what was committed is there after a restart, facts and all", async () => {
    const row = arrival();
    await store.commit([store.arrivals.add(row)], [{ id: row.id, digest: "00" }]);
    await store.close();
    store = await open();
    expect(store.arrivals.find(row.id)).toEqual(row);
    expect(store.missing).toEqual([]);
  });

  test("below the disk reserve nothing more is accepted, but what drains still goes", async () => {
    await store.close();
    store = await open({ minFreeBytes: Number.MAX_SAFE_INTEGER });
    const row = arrival();
    await expect(store.commit([store.arrivals.add(row)], [{ id: row.id, digest: "00" }])).rejects.toMatchObject({
      code: "STORE_FULL",
    });
    await store.commit([store.deliveries.add(delivery())]);
  });
});

describe("blobs", () => {
  test.for([1, 65_536, 65_537, 3_000_000])("%i octets come back as they were", async (size) => {
    const bytes = octets(size, size);
    expect(Buffer.compare(await clear((await put(bytes)).name), bytes)).toBe(0);
  });

  test("the same bytes are kept once, also when two come at once", async () => {
    const bytes = octets(300_000, 1);
    const [one, other] = await Promise.all([put(bytes), put(bytes)]);
    expect(one.name).toBe(other.name);
    expect((await put(bytes)).fresh).toBe(false);
    expect(Buffer.compare(await clear(one.name), bytes)).toBe(0);
  });

  test("a body that fails on the way leaves nothing behind, and what has no row is swept at the next start", async () => {
    const failing = (async function* () {
      yield octets(500_000, 2);
      throw new Error("the line went dead");
    })();
    const part = sealPart(failing, "segments");
    await expect(store.blobs.put(part.cipher, part.facts)).rejects.toThrow("dead");
    const whole = sealPart(wire(octets(500_000, 3)), "segments");
    await store.blobs.put(whole.cipher, whole.facts);
    await store.close();
    store = await open();
    const left = readdirSync(join(folder, "blobs"), { recursive: true, withFileTypes: true }).filter((entry) =>
      entry.isFile(),
    );
    expect(left).toEqual([]);
  });

  test("a short, missing or changed file is damage, never clear text", async () => {
    const { name } = await put(octets(500_000, 4));
    const file = readdirSync(join(folder, "blobs"), { recursive: true, withFileTypes: true }).find((entry) =>
      entry.isFile(),
    );
    const path = join(file?.parentPath ?? "", file?.name ?? "");
    const whole = readFileSync(path);
    whole[1000] = (whole[1000] ?? 0) ^ 1;
    writeFileSync(path, whole);
    await expect(clear(name)).rejects.toMatchObject({ code: "ENVELOPE_NOT_OPENED" });
    truncateSync(path, 1000);
    await expect(clear(name)).rejects.toMatchObject({ code: "STORE_DAMAGED" });
    rmSync(path);
    await expect(clear(name)).rejects.toMatchObject({ code: "STORE_DAMAGED" });
  });
});

describe("deliveries", () => {
  test("one that is overdue and waits for an earlier one does not hide when that one is due", async () => {
    const [first, second] = [delivery({ order: "p", due: 5_000 }), delivery({ order: "p", due: 1_000 })];
    await store.commit([first, second].map(store.deliveries.add));
    expect(store.deliveries.due(2_000, 10)).toEqual([]);
    expect(store.deliveries.nextDue(2_000)).toBe(5_000);
    expect(store.deliveries.nextDue(6_000)).toBeUndefined();
  });

  test("fetches of one patient are found newest first, and never wait for one another", async () => {
    const [first, second] = [
      delivery({ kind: "fetch", order: "p", due: 5_000 }),
      delivery({ kind: "fetch", order: "p", due: 1_000 }),
    ];
    await store.commit([first, second].map(store.deliveries.add));
    expect(store.deliveries.fetches("p", 10).map(({ id }) => id)).toEqual([second.id, first.id]);
    expect(store.deliveries.due(2_000, 10).map(({ id }) => id)).toEqual([second.id]);
  });

  test("those of one patient to one destination keep their order; others pass", async () => {
    const [first, second, other] = [delivery({ order: "p" }), delivery({ order: "p" }), delivery({ order: "q" })];
    await store.commit([first, second, other].map(store.deliveries.add));
    expect(store.deliveries.due(1, 10).map(({ id }) => id)).toEqual([first.id, other.id]);
    await store.commit([store.deliveries.mark(first.id, { state: "delivered" })]);
    expect(store.deliveries.due(1, 10).map(({ id }) => id)).toEqual([second.id, other.id]);
  });

  test("what a crash left on the wire is ambiguous after it", async () => {
    const row = delivery();
    await store.commit([store.deliveries.add(row), store.deliveries.mark(row.id, { state: "inflight" })]);
    await store.close();
    store = await open();
    expect(store.deliveries.find(row.id)?.state).toBe("ambiguous");
  });
});

describe("the data folder", () => {
  test("holds no clear text, and only its owner may read it", async () => {
    await store.commit([store.arrivals.add(arrival()), store.deliveries.add(delivery())]);
    await put(Buffer.from("陳怡君 A223456781".repeat(10_000)));
    await store.close();
    const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    for (const entry of files) {
      const bytes = readFileSync(join(entry.parentPath, entry.name));
      expect(bytes.includes("陳怡君") || bytes.includes("A223456781"), entry.name).toBe(false);
    }
    expect(statSync(folder).mode & 0o077).toBe(0);
  });

  test("opens with its own key alone, and for one process at a time", async () => {
    await expect(open()).rejects.toMatchObject({ code: "ALREADY_RUNNING" });
    await store.close();
    await expect(open({ key: Buffer.alloc(32, 6) })).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    store = await open();
  });
});

describe("the accept journal", () => {
  async function accept(count: number): Promise<ArrivalRow[]> {
    const rows = Array.from({ length: count }, () => arrival());
    for (const row of rows) await store.commit([store.arrivals.add(row)], [{ id: row.id, digest: "00" }]);
    await store.close();
    return rows;
  }
  const journal = (): string => join(folder, "accept.journal");

  test("names an acceptance that the index lost", async () => {
    const rows = await accept(3);
    const db = new DatabaseSync(join(folder, "semrs.db"));
    db.exec(`DELETE FROM arrival WHERE id = '${rows[2]?.id}'`);
    db.exec("DELETE FROM meta WHERE name = 'journal'");
    db.close();
    store = await open();
    expect(store.missing).toEqual([{ id: rows[2]?.id, digest: "00" }]);
  });

  test("a torn last record, never acknowledged, is cut off; a changed one before it is damage", async () => {
    await accept(3);
    appendFileSync(journal(), Buffer.from([0, 0, 0, 90, 1, 2, 3]));
    store = await open();
    expect(store.missing).toEqual([]);
    await store.close();
    const bytes = readFileSync(journal());
    bytes[40] = (bytes[40] ?? 0) ^ 1;
    writeFileSync(journal(), bytes);
    const db = new DatabaseSync(join(folder, "semrs.db"));
    db.exec("DELETE FROM meta WHERE name = 'journal'");
    db.close();
    await expect(open()).rejects.toMatchObject({ code: "STORE_DAMAGED" });
  });

  test("kill -9 in mid-load, three times: everything acknowledged is there", async () => {
    await store.close();
    const acknowledged = new Set<string>();
    for (let round = 0; round < 3; round += 1) {
      const child = spawn(process.execPath, [join(import.meta.dirname, "load.ts"), folder, key.toString("hex")], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      const before = acknowledged.size;
      for await (const line of createInterface({ input: child.stdout })) {
        acknowledged.add(line);
        if (acknowledged.size === before + 300) child.kill("SIGKILL");
      }
      if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    }
    store = await open();
    expect(store.missing).toEqual([]);
    expect([...acknowledged].filter((id) => store.arrivals.find(id) === undefined)).toEqual([]);
    expect(acknowledged.size).toBeGreaterThanOrEqual(900);
  });
});

test("97 a clock behind the journal: nothing is opened until it has passed the last step again", async () => {
  const at = new Date("2026-05-04T12:00:00Z");
  store.steps.checkClock(at);
  await store.commit([
    store.steps.add({ subject: store.newId(), at: at.toISOString(), station: "open", event: "opened" }),
  ]);
  const minutesBefore = (minutes: number): Date => new Date(at.getTime() - minutes * 60_000);
  for (const now of [at, minutesBefore(5), minutesBefore(-60)]) store.steps.checkClock(now);
  expect(() => store.steps.checkClock(minutesBefore(6))).toThrow(expect.objectContaining({ code: "CLOCK_BEHIND" }));
});

describe("formats of the database", () => {
  const waiting = (kind: "document" | "instance", joins: readonly string[]): Item => ({
    id: store.newId(),
    kind,
    arrival: "a",
    channel: "c",
    key: `${kind} ${joins}`,
    digest: "d",
    blob: "b",
    joins,
    patients: [],
    state: "waiting",
    code: null,
    reason: null,
    since: new Date().toISOString(),
    record: null,
    facts: {},
  });

  test("joins of the second format are found by kind after the start of this version", async () => {
    const [document, first, second] = [
      waiting("document", ["study:1", "study:2"]),
      waiting("instance", ["study:1", "accession:x"]),
      waiting("instance", ["study:2"]),
    ];
    await store.commit([document, first, second].flatMap((item) => store.items.add(item)));
    await store.close();
    const db = new DatabaseSync(join(folder, "semrs.db"));
    db.exec(`
      CREATE TABLE before (value TEXT NOT NULL, item TEXT NOT NULL, PRIMARY KEY (value, item)) STRICT, WITHOUT ROWID;
      INSERT INTO before SELECT value, item FROM item_join;
      DROP TABLE item_join; ALTER TABLE before RENAME TO item_join;
      DROP TABLE study; DROP TABLE rejection; DROP INDEX delivery_fetch; PRAGMA user_version = 2;`);
    db.close();
    store = await open();
    const ids = (kind: "document" | "instance", joins: readonly string[]) =>
      store.items.joined(kind, joins).map(({ id }) => id);
    expect(ids("document", ["study:1", "study:2"])).toEqual([document.id]);
    expect(ids("instance", ["study:1", "accession:x"])).toEqual([first.id]);
    expect(ids("instance", document.joins)).toEqual([first.id, second.id]);
  });

  test("what is said of a study adds up, and matters are counted by study, channel and code", async () => {
    await store.commit([
      store.studies.mark("1.2", { expected: 3, askedAt: 5 }),
      store.studies.mark("1.2", { pulls: 1 }),
    ]);
    expect(store.studies.find("1.2")).toEqual({ uid: "1.2", expected: 3, askedAt: 5, pulls: 1, completeAt: null });
    expect(store.studies.find("1.3")).toEqual({
      uid: "1.3",
      expected: null,
      askedAt: null,
      pulls: 0,
      completeAt: null,
    });
    const items = [1, 2, 3].map((n) => ({ ...waiting("instance", ["study:9"]), key: String(n) }));
    const held = { ...waiting("instance", ["study:9"]), key: "4", code: "STUDY_LATE" };
    const documents = [1, 2].map((n) => ({ ...waiting("document", ["study:9"]), key: String(n) }));
    await store.commit([...items, held, ...documents].flatMap((item) => store.items.add(item)));
    const matters = store.items.matters({ state: "waiting", limit: 10 });
    expect(matters.map(({ item, count }) => `${item.kind} ${item.code} ${count}`).sort()).toEqual([
      "document null 1",
      "document null 1",
      "instance STUDY_LATE 1",
      "instance null 3",
    ]);
    expect(matters.find(({ count }) => count === 3)?.item.id).toBe(items[0]?.id);
  });
});
