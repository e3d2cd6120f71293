/**
 * A body on its way to its place: a small one stays with its index row, a middling one is held until its end and written at
 * once, a large one is written as it comes.
 */
import { closeSync, constants, fdatasync, openSync, write } from "node:fs";
import { promisify } from "node:util";
import { Fault } from "../errors.ts";
import { openBuffers } from "../memory.ts";
import { type BlankFile, type BlankFiles, discard } from "./blank-files.ts";

/** Up to this many octets stay with their index row. */
export const maxInlineBytes = 64 * 1024;
/** Chunks are gathered to writes of about this size, each a turn of a thread of the pool; a body below it is one write. */
const writeBytes = 1024 * 1024;
/** What a body leaves behind lives no longer than its next piece. */
const buffers = openBuffers(writeBytes, 4);

// Descriptors in place of file handles: each step of those is a turn of the thread pool, to close too.
const disk = { write: promisify(write), datasync: promisify(fdatasync) } as const;

export type Spooled = {
  /** The whole of it; null where it is for a file. */
  readonly inline: Uint8Array | null;
  /** Begins to write what is left of it. */
  keep(): Promise<Kept>;
  drop(): Promise<void>;
};

/** The name of its file, or null. `written` resolves when its octets are on stable storage, as its name is already. */
export type Kept = { readonly file: string | null; readonly written: Promise<void> };

/** Takes the ciphertext in, and copies it: a piece may be used again once the next is asked for. An iterable that throws leaves nothing behind. STORE_FULL, or STORE_DAMAGED when the disk fails. */
export async function spool(cipher: AsyncIterable<Uint8Array>, blanks: BlankFiles): Promise<Spooled> {
  let small: Uint8Array[] = [];
  let size = 0;
  let buffer: Buffer | undefined;
  let file: BlankFile | undefined;
  let writing: Promise<void> = Promise.resolve();
  const drop = async (): Promise<void> => {
    await writing.catch(() => undefined);
    if (file) discard(file);
    file = undefined;
  };
  /** One write under way while the next piece is encrypted. */
  const flush = async (): Promise<void> => {
    const [full, filled] = [buffer, size];
    [buffer, size] = [undefined, 0];
    if (!full) return;
    file ??= unsynced(await blanks.take());
    await writing;
    writing = writeAll(file, full.subarray(0, filled)).finally(() => buffers.put(full));
    writing.catch(() => undefined);
  };
  const add = async (chunk: Uint8Array): Promise<void> => {
    for (let rest = chunk; rest.length > 0; ) {
      buffer ??= buffers.take();
      const some = rest.subarray(0, buffer.length - size);
      buffer.set(some, size);
      size += some.length;
      rest = rest.subarray(some.length);
      if (size === buffer.length) await flush();
    }
  };
  try {
    for await (const chunk of cipher) {
      if (!buffer && !file && size + chunk.length <= maxInlineBytes) {
        small.push(Uint8Array.from(chunk));
        size += chunk.length;
        continue;
      }
      const before = small;
      if (before.length > 0) [small, size] = [[], 0];
      for (const each of before) await add(each);
      await add(chunk);
    }
    if (!file && !buffer)
      return { inline: Buffer.concat(small, size), keep: async () => ({ file: null, written: writing }), drop };
    await writing;
  } catch (thrown) {
    await drop();
    throw diskFault(thrown);
  }
  const write = async (blank: BlankFile, rest: Buffer | undefined, isLarge: boolean): Promise<void> => {
    try {
      if (rest) await writeAll(blank, rest.subarray(0, size));
      if (isLarge) await disk.datasync(blank.descriptor);
    } catch (thrown) {
      discard(blank);
      throw diskFault(thrown);
    } finally {
      if (rest) buffers.put(rest);
    }
    closeSync(blank.descriptor);
  };
  const keep = async (): Promise<Kept> => {
    const isLarge = file !== undefined;
    const blank = file ?? (await blanks.take().catch(refuse));
    // Both are of the write from here on: whoever drops what was taken leaves them alone.
    const rest = buffer;
    [file, buffer] = [undefined, undefined];
    const written = write(blank, rest, isLarge);
    // Who never asks whether it is durable commits nothing of it.
    written.catch(() => undefined);
    return { file: blank.name, written };
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

function refuse(thrown: unknown): never {
  throw diskFault(thrown);
}

function diskFault(thrown: unknown): unknown {
  const { code } = thrown as NodeJS.ErrnoException;
  if (code === "ENOSPC") return new Fault("STORE_FULL", "the disk is full; free space", { cause: thrown });
  if (code === "EIO")
    return new Fault("STORE_DAMAGED", "the disk failed; check it and restart the site", { cause: thrown });
  return thrown;
}

async function writeAll({ descriptor }: BlankFile, bytes: Uint8Array): Promise<void> {
  for (let written = 0; written < bytes.length; ) {
    const { bytesWritten } = await disk.write(descriptor, bytes, written, bytes.length - written, null);
    written += bytesWritten;
  }
}
