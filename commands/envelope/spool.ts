/** A folder for ciphertext that waits, removed when the work is done. What is in it is sealed under keys of this process. */
import { createReadStream, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Spool } from "../../envelope/index.ts";
import { writeFileOf } from "./files.ts";

const readBytes = 1 << 20;

/** Gives `work` a spool; the folder is gone when it ends, however it ends. */
export async function withSpool<T>(work: (spool: Spool) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "semrs-spool-"));
  let count = 0;
  const write: Spool["write"] = async (cipher) => {
    count += 1;
    const file = join(folder, String(count));
    await writeFileOf(file, cipher, 0o600);
    return { read: () => createReadStream(file, { highWaterMark: readBytes }) as AsyncIterable<Uint8Array> };
  };
  try {
    return await work({ write });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
