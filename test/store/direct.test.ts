/** Files of blobs that are written past the page cache: in whole blocks, with zeros behind the body; and in the ordinary way where that is refused. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type BlankFiles, openBlankFiles, pathOf } from "../../store/blank-files.ts";
import { openSpool, type Spool } from "../../store/blob-file.ts";
import { type AlignedBuffers, blockBytes, direct, isSizeOf, openAligned, wholeBlocks } from "../../store/direct.ts";
import { octets, wire } from "../envelope/people.ts";

const mebibyte = 1024 * 1024;
let root: string;
let blanks: BlankFiles;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "semrs-direct-"));
  mkdirSync(join(root, "blobs"));
  blanks = openBlankFiles(root);
});
afterEach(() => {
  blanks.close();
  rmSync(root, { recursive: true, force: true });
});

/** What lies in the file of a body that was taken in. */
async function written(spool: Spool, bytes: Uint8Array, piece = 100_000): Promise<Buffer> {
  const kept = await (await spool(wire(bytes, piece))).keep();
  await kept.written;
  return readFileSync(pathOf(root, kept.file ?? ""));
}

/** Memory that begins beside a block, and says that it does not: the kernel refuses it as it refuses a block that is too small. */
const askew = (): AlignedBuffers => ({
  take: () => Buffer.from(new ArrayBuffer(mebibyte + blockBytes), 1, mebibyte),
  put: () => undefined,
  isAligned: () => true,
});
const sizes = [65_537, 262_144, 300_000, 525_336, mebibyte, mebibyte + 1, 3_500_001];

describe.each([true, false])("nobody else waits for the disk: %s", (isQuiet) => {
  test.for(sizes)("%i octets, and nothing but zeros to the end of their block", async (size) => {
    const buffers = openAligned(mebibyte, 2);
    // What a body of before has left in that memory must not come after this one.
    const lent = [buffers.take(), buffers.take()];
    for (const each of lent) buffers.put(each.fill(0xff));
    const bytes = octets(size, size);
    const file = await written(
      openSpool(blanks, () => isQuiet, buffers),
      bytes,
    );
    expect(file.subarray(0, size).equals(bytes)).toBe(true);
    expect(file.subarray(size).every((octet) => octet === 0)).toBe(true);
    expect(isSizeOf(file.length, size)).toBe(true);
  });

  test.for(sizes)("%i octets where the file system refuses: in the ordinary way, as long as they are", async (size) => {
    const bytes = octets(size, size);
    const spool = openSpool(blanks, () => isQuiet, askew());
    expect((await written(spool, bytes)).equals(bytes)).toBe(true);
    // The rest of those that were made ahead, and one that is made when it is known.
    for (let n = 0; n < 20; n += 1) expect((await written(spool, bytes)).equals(bytes)).toBe(true);
    const later = await blanks.take();
    expect(later.flags & direct).toBe(0);
  });
});

test("more bodies at once than there is memory for: the others in the ordinary way", async () => {
  const buffers = openAligned(mebibyte, 2);
  const spool = openSpool(blanks, () => true, buffers);
  const bodies = Array.from({ length: 7 }, (_, n) => octets(400_000 + 300_000 * n, n));
  const files = await Promise.all(bodies.map(async (bytes) => await written(spool, bytes, 50_000)));
  for (const [n, bytes] of bodies.entries())
    expect(files[n]?.subarray(0, bytes.length).equals(bytes), String(n)).toBe(true);
  // All that was lent is back, whoever had it.
  const both = [buffers.take(), buffers.take()];
  expect(both.every(buffers.isAligned)).toBe(true);
  expect(buffers.isAligned(buffers.take())).toBe(false);
});

test("what was lent comes back from bodies that fail and from those that are dropped, and no file is left", async () => {
  const buffers = openAligned(mebibyte, 2);
  const spool = openSpool(blanks, () => true, buffers);
  for (const size of [100_000, 500_000, 2_500_000]) {
    const failing = (async function* () {
      yield* wire(octets(size, 1), 50_000);
      throw new Error("the line went dead");
    })();
    await expect(spool(failing)).rejects.toThrow("dead");
    await (await spool(wire(octets(size, 2), 50_000))).drop();
  }
  expect([buffers.take(), buffers.take()].every(buffers.isAligned)).toBe(true);
  blanks.close();
  const left = readdirSync(root, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  expect(left).toEqual([]);
});

test("what is in a file is a body, or that with what is left of its block", () => {
  expect([8_191, 8_192, 8_193, 12_288].map((size) => isSizeOf(size, 8_192))).toEqual([false, true, false, false]);
  expect([8_193, 12_288, 8_192, 16_384].map((size) => isSizeOf(size, 8_193))).toEqual([true, true, false, false]);
  expect(wholeBlocks(0)).toBe(0);
});
