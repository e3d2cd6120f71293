/** Blobs of the store: the octets come back as they were, once, or are named damaged; what has no row is swept. */
import { execFileSync } from "node:child_process";
import { pbkdf2 } from "node:crypto";
import { closeSync, openSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { sealOctets, sealPart } from "../../envelope/index.ts";
import { isSizeOf } from "../../store/direct.ts";
import { octets, wire } from "../envelope/people.ts";
import { clear, folder, freshStore, key, open, put, store } from "./fresh.ts";
import { asBefore, beforeTwoLevels, keysIn } from "./rows.ts";

freshStore();

describe("blobs", () => {
  test.for([1, 65_536, 65_537, 3_000_000])("%i octets come back as they were", async (size) => {
    const bytes = octets(size, size);
    expect(Buffer.compare(await clear((await put(bytes)).name), bytes)).toBe(0);
  });

  test.for([60_000, 65_537, 3_000_000])("%i octets come from memory that is used again", async (size) => {
    const bytes = octets(size, size + 1);
    const part = sealPart(wire(bytes, 1_000), "segments");
    const wiped = (async function* () {
      for await (const piece of part.cipher) {
        yield piece;
        piece.fill(0);
      }
    })();
    const { name, change } = await store.blobs.put(wiped, part.facts);
    await store.commit([change]);
    expect(Buffer.compare(await clear(name), bytes)).toBe(0);
  });

  test("one that finds no descriptor to be read by is not damaged: it is there when there is one", async () => {
    const { name } = await put(octets(300_000, 9));
    const mine = ["--pid", String(process.pid)];
    const soft = execFileSync("prlimit", [...mine, "--nofile", "-o", "SOFT", "--noheadings"], { encoding: "utf8" });
    const held: number[] = [];
    execFileSync("prlimit", [...mine, `--nofile=${readdirSync("/proc/self/fd").length + 64}:`]);
    try {
      const hold = (): void => {
        for (;;) held.push(openSync("/dev/null", "r"));
      };
      expect(hold).toThrow(expect.objectContaining({ code: "EMFILE" }));
      await expect(clear(name)).rejects.toMatchObject({ code: "UNEXPECTED", message: expect.stringMatching(/EMFILE/) });
    } finally {
      held.forEach(closeSync);
      execFileSync("prlimit", [...mine, `--nofile=${soft.trim()}:`]);
    }
    expect(await clear(name)).toHaveLength(300_000);
  });

  test("the same bytes are kept once, also when two come at once", async () => {
    const bytes = octets(300_000, 1);
    const [one, other] = await Promise.all([put(bytes), put(bytes)]);
    expect(one.name).toBe(other.name);
    expect((await put(bytes)).fresh).toBe(false);
    expect(Buffer.compare(await clear(one.name), bytes)).toBe(0);
  });

  test("of two that come at once and are committed each, the file that no row names goes with the second commit", async () => {
    const bytes = octets(300_000, 1);
    const staged = await Promise.all(
      [0, 1].map(async () => {
        const part = sealPart(wire(bytes), "segments");
        return await store.blobs.put(part.cipher, part.facts);
      }),
    );
    for (const { change } of staged) await store.commit([change]);
    const files = readdirSync(join(folder, "blobs"), { recursive: true, withFileTypes: true }).filter(
      (entry) => entry.isFile() && isSizeOf(statSync(join(entry.parentPath, entry.name)).size, 300_000),
    );
    expect(files).toHaveLength(1);
    expect(Buffer.compare(await clear(staged[0]?.name ?? ""), bytes)).toBe(0);
  });

  test("what can be committed of a body comes when it is in its file, and not when it is taken", async () => {
    await put(octets(100_000, 8));
    const sizes = (): readonly number[] =>
      readdirSync(join(folder, "blobs"), { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => statSync(join(entry.parentPath, entry.name)).size);
    // Every thread that could write is at something else.
    const busy = Array.from({ length: 8 }, () => promisify(pbkdf2)("x", "y", 200_000, 32, "sha512"));
    const part = sealPart(wire(octets(200_001, 9)), "segments");
    const taken = await store.blobs.take(part.cipher, part.facts, () => true);
    const { change, name } = await taken.durable();
    expect(sizes().some((size) => isSizeOf(size, 200_001))).toBe(true);
    expect(name).toBe(taken.name);
    await store.commit([change]);
    await Promise.all(busy);
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
    await open();
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

test("bodies of the fourth format, inline and in files, are read after the start of this version", async () => {
  const bodies = [octets(1_000, 1), octets(100_000, 2)];
  const names = await Promise.all(bodies.map(async (bytes) => (await put(bytes)).name));
  await store.close();
  const db = new DatabaseSync(join(folder, "semrs.db"));
  const undo = `${beforeTwoLevels}
    CREATE TABLE before (
      name TEXT PRIMARY KEY, form TEXT NOT NULL, size INTEGER NOT NULL, digests BLOB NOT NULL,
      cek BLOB NOT NULL, nonce BLOB NOT NULL, tag BLOB NOT NULL, inline BLOB, file TEXT
    ) STRICT, WITHOUT ROWID;
    INSERT INTO before SELECT * FROM blob;
    DROP TABLE blob; ALTER TABLE before RENAME TO blob`;
  db.exec(asBefore(4, undo));
  db.close();
  await open();
  for (const [n, bytes] of bodies.entries())
    expect(Buffer.compare(await clear(names[n] ?? ""), bytes), String(n)).toBe(0);
  expect((await put(bodies[0] ?? octets(1, 1))).name).toBe(names[0]);
  expect(store.blobs.names("", 10)).toEqual([...names].sort());
});

test("a body under an id of its own comes back as it was", async () => {
  const bytes = octets(1_000, 5);
  const { cipher, facts } = sealOctets(bytes);
  const { name, change } = store.blobs.own(store.newId(), cipher, facts);
  await store.commit([change]);
  expect(Buffer.compare(await clear(name), bytes)).toBe(0);
});

test("a row of before, with its key wrapped beside its digests, opens", async () => {
  const bytes = octets(3_000_000, 6);
  const { name } = await put(bytes);
  const { cek, segs, root } = store.blobs.facts(name);
  await store.close();
  const keys = keysIn(folder, key);
  const digests = Buffer.concat([Buffer.from(root ?? "", "hex"), segs ?? new Uint8Array()]);
  const db = new DatabaseSync(join(folder, "semrs.db"));
  db.prepare("UPDATE blob SET cek = ?, digests = ? WHERE name = ?").run(
    keys.wrap(cek),
    keys.seal(`blob\0${name}\0digests`, digests),
    name,
  );
  db.close();
  await open();
  expect(Buffer.compare(await clear(name), bytes)).toBe(0);
});
