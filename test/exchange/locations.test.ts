/** Locations on a disk: whose they are, how long they live, how many and how much, and what a crash leaves of them. */
import { mkdtempSync, readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, expect, test } from "vitest";
import { type Held, type Locations, openLocations } from "../../exchange/locations.ts";

const hour = 3_600_000;
const [b, c] = ["b".repeat(64), "c".repeat(64)];
const limits = { maxPerPeer: 3, maxBytes: 10_000, lifeMs: 12 * hour };
const held = (record: string, bytes = 100): Held => ({
  id: "1".repeat(32),
  record,
  headers: [["X-SEMRS-Id", "1".repeat(32)]],
  contentLength: 3_000_000,
  blobs: ["one", "two"],
  runs: [
    { octets: Buffer.alloc(bytes, `\n${record}`) },
    { index: 0, size: 30_000 },
    { octets: Buffer.from([0, 10, 255]) },
    { index: 1, size: 2_900_000 },
    { octets: Buffer.alloc(0) },
  ],
});

let folder: string;
let at: number;
const open = (): Locations => openLocations(folder, () => new Date(at), limits);
const only = (): string => join(folder, readdirSync(folder)[0] ?? "");
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "semrs-locations-"));
  at = Date.parse("2026-11-28T12:00:00Z");
});

test("what is held is found by its peer and nobody else, also by the next process", async () => {
  const first = await open().hold(b, held("r1"));
  expect(first).toMatch(/^[0-9a-f]{32}$/);
  for (const locations of [open(), open()]) {
    expect(await locations.find(b, first ?? "")).toEqual(held("r1"));
    expect(await locations.find(c, first ?? "")).toBeUndefined();
    expect(await locations.find(b, "0".repeat(32))).toBeUndefined();
  }
  // Who reads the folder learns no Location.
  expect(readFileSync(only()).includes(first ?? "-") || only().includes(first ?? "-")).toBe(false);
});

test("its time is over after twelve hours, and its file with it", async () => {
  const locations = open();
  const first = (await locations.hold(b, held("r1"))) ?? "";
  at += 12 * hour - 1;
  expect(await locations.find(b, first)).toBeDefined();
  at += 1;
  expect(await locations.find(b, first)).toBeUndefined();
  expect(readdirSync(folder)).toEqual([]);
});

test("a peer holds so many; a further one ends its oldest and no other peer's", async () => {
  const locations = open();
  const other = await locations.hold(c, held("r0"));
  const own: (string | undefined)[] = [];
  for (const record of ["r1", "r2", "r3", "r4"]) {
    at += 1;
    own.push(await locations.hold(b, held(record)));
  }
  const found = await Promise.all(own.map((each) => locations.find(b, each ?? "")));
  expect(found.map((each) => each?.record)).toEqual([undefined, "r2", "r3", "r4"]);
  expect(await locations.find(c, other ?? "")).toBeDefined();
});

test("beyond so many octets nothing is held until something has ended", async () => {
  const locations = open();
  expect(await locations.hold(b, held("r1", 9_000))).toBeDefined();
  expect(await locations.hold(c, held("r2", 3_000))).toBeUndefined();
  at += 12 * hour;
  expect(await locations.hold(c, held("r2", 3_000))).toBeDefined();
  expect(await open().hold(b, held("r1", 9_000))).toBeUndefined();
});

test("a head that is not whole, or has changed, is none", async () => {
  const first = (await open().hold(b, held("r1"))) ?? "";
  const whole = readFileSync(only());
  const file = only();
  const locations = open();
  whole.writeUInt8(whole.readUInt8(whole.length - 20) ^ 1, whole.length - 20);
  writeFileSync(file, whole);
  expect(await locations.find(b, first)).toBeUndefined();
  expect(readdirSync(folder)).toEqual([]);

  const second = (await open().hold(b, held("r1"))) ?? "";
  truncateSync(only(), 300);
  writeFileSync(join(folder, `${"0".repeat(64)}.new`), "{}\n");
  expect(await open().find(b, second)).toBeUndefined();
  expect(readdirSync(folder)).toEqual([]);
});
