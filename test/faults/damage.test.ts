/** Flipped bits on the disk (reliability.md F6): found at start or by `semrs verify`, named, and never passed on. */
import { closeSync, openSync, readdirSync, readSync, statSync, truncateSync, writeSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, expect, test } from "vitest";
import { type Ran, semrs } from "../commands/cli.ts";
import { until } from "../sites.ts";
import { type Home, type House, makeHome, startHouse } from "./house.ts";
import { openLoad } from "./load.ts";

let house: House | undefined;
afterEach(async () => {
  await house?.end("SIGKILL");
  house = undefined;
});

/** A house that has accepted some reports, one of them too large to lie in the index. */
async function filled(): Promise<Home> {
  const home = await makeHome();
  house = await startHouse(home);
  for (const [prefix, bodyBytes] of [
    ["SMALL.", 200],
    ["LARGE.", 200_000],
  ] as const) {
    const load = openLoad(house.his, 1, prefix, { bodyBytes });
    await until("accepted", () => load.acknowledged.size >= 3);
    await load.stop();
  }
  const { admin } = house;
  await until(
    "one is sealed",
    async () => Object.keys((await admin.get<{ records: object }>("/counts")).records).length > 0,
  );
  return home;
}

const verify = ({ folder, env }: Home): Promise<Ran> => semrs(["verify"], { cwd: folder, env });

/** Flips one bit of a file; `at` from the end where negative. */
function flip(path: string, at: number): void {
  const position = at < 0 ? statSync(path).size + at : at;
  const file = openSync(path, "r+");
  const octet = Buffer.alloc(1);
  readSync(file, octet, 0, 1, position);
  octet[0] = (octet[0] ?? 0) ^ 0x10;
  writeSync(file, octet, 0, 1, position);
  closeSync(file);
}

test("a whole store is told to be whole, while the house runs and when it does not", async () => {
  const home = await filled();
  const running = await verify(home);
  await house?.end("SIGTERM");
  const stopped = await verify(home);
  for (const { exit, out } of [running, stopped]) {
    expect(out).toMatch(/^\d+ acknowledged, \d+ blobs, \d+ octets: 0 damaged$/m);
    expect(exit).toBe(0);
  }
});

test("a bit in a blob: named with the message whose it is", async () => {
  const home = await filled();
  await house?.end("SIGTERM");
  // Those of messages that are kept without their payload by now have no row any more, and go at the next start.
  for (const name of readdirSync(join(home.data, "blobs"), { recursive: true, encoding: "utf8" })) {
    const path = join(home.data, "blobs", name);
    if (statSync(path).isFile()) flip(path, 100);
  }
  const { exit, out, err } = await verify(home);
  expect(err).toMatch(/^blob: \S{8}: ENVELOPE_NOT_OPENED: part: .*LARGE\.1/m);
  expect({ exit, out }).toMatchObject({ exit: 65, out: expect.stringMatching(/: [3-9] damaged/) });
});

test("a bit in the accept journal: the place where its chain breaks", async () => {
  const home = await filled();
  await house?.end("SIGTERM");
  flip(join(home.data, "accept.journal"), 60);
  const { exit, err } = await verify(home);
  expect(err).toMatch(/^journal: .*accept\.journal does not hold at octet 0 \(checksum\)/m);
  expect(exit).toBe(65);
});

test("an accept journal that ends too early keeps the house from starting", async () => {
  const home = await filled();
  await house?.end("SIGTERM");
  const journal = join(home.data, "accept.journal");
  truncateSync(journal, statSync(journal).size - 200);
  await expect(startHouse(home)).rejects.toThrow(/accept\.journal is shorter than the index says/);
});

test("bits in the database: found by verify, or the house does not start", async () => {
  const home = await filled();
  await house?.end("SIGTERM");
  const { size } = statSync(join(home.data, "semrs.db"));
  for (let at = 4096; at < size; at += 4096)
    for (const within of [0, 1, 8]) flip(join(home.data, "semrs.db"), at + within);
  const { exit, out, err } = await verify(home);
  expect(exit).not.toBe(0);
  expect(`${out}${err}`).toMatch(/damaged|STORE_DAMAGED|cannot be read|index:/);
});

test("a bit in a sealed value of the index, which SQLite cannot see: the row is named", async () => {
  const home = await filled();
  await house?.end("SIGTERM");
  const db = new DatabaseSync(join(home.data, "semrs.db"));
  const hurt = [
    ["item", "facts"],
    ["record", "manifest"],
    ["record", "entry"],
  ] as const;
  const lines = hurt.map(([table, column]) => {
    const row = db.prepare(`SELECT id, ${column} AS value FROM ${table} LIMIT 1`).get();
    const value = Buffer.from(row?.value as Uint8Array);
    value[20] = (value[20] ?? 0) ^ 1;
    db.prepare(`UPDATE ${table} SET ${column} = ? WHERE id = ?`).run(value, row?.id as string);
    return new RegExp(`^index: ${column} of a row of ${table} does not open.*${row?.id}`, "m");
  });
  db.close();
  const { exit, err } = await verify(home);
  for (const line of lines) expect(err).toMatch(line);
  expect(exit).toBe(65);
});
