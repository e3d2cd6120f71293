/**
 * A body on its way to its place: a small one stays with its index row, a middling one is held until its end and written at
 * once, a large one is written as it comes.
 */
import { closeSync, constants, fdatasync, openSync, writev } from "node:fs";
import { promisify } from "node:util";
import { Fault } from "../errors.ts";
import { type BlankFile, type BlankFiles, discard } from "./blank-files.ts";

/** Up to this many octets stay with their index row. */
export const maxInlineBytes = 64 * 1024;
/** Chunks are gathered to writes of about this size, each a turn of a thread of the pool; a body below it is one write. */
const writeBytes = 1024 * 1024;

// Descriptors in place of file handles: each step of those is a turn of the thread pool, to close too.
const disk = { writev: promisify(writev), datasync: promisify(fdatasync) } as const;

export type Spooled = {
  /** The whole of it; null where it is for a file. */
  readonly inline: Uint8Array | null;
  /** The name of its file, or null; resolves when its octets and its name are on stable storage. */
  keep(): Promise<string | null>;
  drop(): Promise<void>;
};

/** Takes the ciphertext in. An iterable that throws leaves nothing behind. STORE_FULL, or STORE_DAMAGED when the disk fails. */
export async function spool(cipher: AsyncIterable<Uint8Array>, blanks: BlankFiles): Promise<Spooled> {
  let gathered: Uint8Array[] = [];
  let size = 0;
  let file: BlankFile | undefined;
  let writing: Promise<unknown> = Promise.resolve();
  const drop = async (): Promise<void> => {
    await writing.catch(() => undefined);
    if (file) discard(file);
    file = undefined;
  };
  try {
    for await (const chunk of cipher) {
      gathered.push(chunk);
      size += chunk.length;
      if (size < writeBytes) continue;
      file ??= unsynced(await blanks.take());
      // One write under way while the next piece is encrypted.
      await writing;
      writing = writeAll(file, gathered);
      writing.catch(() => undefined);
      [gathered, size] = [[], 0];
    }
    if (!file && size <= maxInlineBytes) return { inline: Buffer.concat(gathered, size), keep: async () => null, drop };
    await writing;
  } catch (thrown) {
    await drop();
    throw diskFault(thrown);
  }
  const keep = async (): Promise<string> => {
    try {
      const isLarge = file !== undefined;
      file ??= await blanks.take();
      await writeAll(file, gathered);
      if (isLarge) await disk.datasync(file.descriptor);
      const { name, descriptor } = file;
      file = undefined;
      closeSync(descriptor);
      return name;
    } catch (thrown) {
      throw diskFault(thrown);
    }
  };
  return { inline: null, keep, drop };
}

/** The same file without O_DSYNC: many writes wait for the disk once, at their end. */
function unsynced(blank: BlankFile): BlankFile {
  try {
    return { ...blank, descriptor: openSync(blank.path, constants.O_WRONLY) };
  } finally {
    closeSync(blank.descriptor);
  }
}

function diskFault(thrown: unknown): unknown {
  const { code } = thrown as NodeJS.ErrnoException;
  if (code === "ENOSPC") return new Fault("STORE_FULL", "the disk is full; free space", { cause: thrown });
  if (code === "EIO")
    return new Fault("STORE_DAMAGED", "the disk failed; check it and restart the site", { cause: thrown });
  return thrown;
}

async function writeAll({ descriptor }: BlankFile, chunks: readonly Uint8Array[]): Promise<void> {
  for (let left = chunks; left.length > 0; ) {
    const { bytesWritten } = await disk.writev(descriptor, left);
    left = behind(left, bytesWritten);
  }
}

/** What a short write left. */
function behind(chunks: readonly Uint8Array[], written: number): readonly Uint8Array[] {
  let count = written;
  return chunks.flatMap((chunk) => {
    const rest = chunk.subarray(Math.min(count, chunk.length));
    count = Math.max(0, count - chunk.length);
    return rest.length > 0 ? [rest] : [];
  });
}
