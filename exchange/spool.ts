/** Where a message of smime-4 waits until it has proven itself: ciphertext under a key of this process, in the data folder. */
import { randomBytes } from "node:crypto";
import { createReadStream, createWriteStream, mkdirSync, rmSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Spool } from "../envelope/index.ts";
import { Fault, hasNoRoom } from "../errors.ts";

const readBytes = 256 * 1024;

export type Spools = {
  /** A spool that is emptied when the work is done, however it ends. */
  within<T>(work: (spool: Spool) => Promise<T>): Promise<T>;
};

/** Spools below this folder; what a crash left there has no key any more and is removed now. */
export function openSpools(folder: string): Spools {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  return {
    within: async (work) => {
      const files: string[] = [];
      const write: Spool["write"] = async (cipher) => {
        const file = join(folder, randomBytes(12).toString("hex"));
        files.push(file);
        const to = createWriteStream(file, { flags: "wx", mode: 0o600 });
        await pipeline(Readable.from(cipher, { objectMode: false }), to).catch((cause: unknown) => {
          if (!hasNoRoom(cause)) throw cause;
          throw new Fault("STORE_FULL", "the disk is full; free space", { cause });
        });
        return { read: () => createReadStream(file, { highWaterMark: readBytes }) as AsyncIterable<Uint8Array> };
      };
      try {
        return await work({ write });
      } finally {
        for (const file of files) await rm(file, { force: true });
      }
    },
  };
}
