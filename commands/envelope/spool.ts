/** A folder for ciphertext that waits, removed when the work is done. What is in it is sealed under keys of this process. */
import { createReadStream } from "node:fs";
import { join } from "node:path";
import type { Spool } from "../../envelope/index.ts";
import { passingFolder } from "../whole.ts";
import { writeFileOf } from "./files.ts";

const readBytes = 1 << 20;

/** Gives `work` a spool; the folder is gone when it ends, however it ends. */
export async function withSpool<T>(work: (spool: Spool) => Promise<T>): Promise<T> {
  using folder = passingFolder("semrs-spool-");
  let count = 0;
  const write: Spool["write"] = async (cipher) => {
    count += 1;
    const file = join(folder.path, String(count));
    await writeFileOf(file, cipher, 0o600);
    return { read: () => createReadStream(file, { highWaterMark: readBytes }) as AsyncIterable<Uint8Array> };
  };
  return await work({ write });
}
