/** A disk with room and no inodes left: what cannot be kept is told as that, by the fault, the store and the doctor. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { spaceOf, syncOf } from "../../commands/doctor/machine.ts";
import { sealPart } from "../../envelope/index.ts";
import type { Config } from "../../pipeline/config.ts";
import { openStore } from "../../store/index.ts";
import { wire } from "../envelope/people.ts";
import { disks, makeDisk } from "./disk.ts";

const disk = disks();
test.skipIf(!disk.available)(`a disk that has space and no inodes says so ${disk.reason}`, async () => {
  using small = makeDisk(32);
  const data = join(small.path, "data");
  const store = await openStore({ folder: data, key: new Uint8Array(32), now: () => new Date(), minFreeBytes: 1 });
  const config = { own: { data, disk: { minFree: 1, ballast: 0 } } } as Config;
  expect([store.reserve.now().isOutOfFiles, spaceOf(config).state]).toEqual([false, "pass"]);
  const others = join(small.path, "others");
  mkdirSync(others);
  expect(() => {
    for (let n = 0; ; n += 1) writeFileSync(join(others, String(n)), "");
  }).toThrow("ENOSPC");
  const { cipher, facts } = sealPart(wire(new Uint8Array(200_000)), "segments");
  await expect(store.blobs.put(cipher, facts)).rejects.toMatchObject({
    code: "STORE_FULL",
    message: "the disk is full, or has no inodes left (df -i); free space",
  });
  expect(store.reserve.now()).toMatchObject({ isOutOfFiles: true });
  expect(spaceOf(config)).toMatchObject({ state: "fail", says: expect.stringContaining("no inodes") });
  expect(syncOf(config)).toMatchObject({ state: "fail", says: "the data folder takes no file (ENOSPC)" });
  rmSync(others, { recursive: true });
  await store.close();
});
