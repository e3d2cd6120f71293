/** A folder for ciphertext that waits, removed when the work is done. What is in it is sealed under keys of this process. */
import { createReadStream, createWriteStream, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Spool } from "../../envelope/index.ts";

const readBytes = 1 << 20;

/** Gives `work` a spool; the folder is gone when it ends, however it ends. */
export async function withSpool<T>(work: (spool: Spool) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "semrs-spool-"));
  let count = 0;
  const write: Spool["write"] = async (cipher) => {
    count += 1;
    const file = join(folder, String(count));
    await pipeline(Readable.from(cipher), createWriteStream(file, { mode: 0o600, highWaterMark: readBytes }));
    return { read: () => createReadStream(file, { highWaterMark: readBytes }) as AsyncIterable<Uint8Array> };
  };
  try {
    return await work({ write });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
