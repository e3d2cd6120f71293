/**
 * A body on its way to its place: a small one stays with its index row, a middling one is held until its end and written at
 * once, a large one is written as it comes.
 */
import { closeSync, constants, fdatasync, openSync, write } from "node:fs";
import { promisify } from "node:util";
import { Fault } from "../errors.ts";
import { type BlankFile, type BlankFiles, discard, isRefusal } from "./blank-files.ts";
import { blockBytes, direct, inBlocks, openAligned } from "./direct.ts";
import { hasFailed, isFull } from "./disk-errors.ts";

/** Up to this many octets stay with their index row. */
const maxInlineBytes = 64 * 1024;
/** Chunks are gathered to writes of about this size, each a turn of a thread of the pool; a body below it is one write. */
const writeBytes = 1024 * 1024;
/** Of a body that comes alone so much goes to the disk while the rest comes: its sender waits, and the disk has nothing else to do. */
const firstBytes = 256 * 1024;
/** Each body that comes has one, or two when it is large. */
const maxAligned = 8;

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
export type Spool = (cipher: AsyncIterable<Uint8Array>) => Promise<Spooled>;

export function openSpool(
  blanks: BlankFiles,
  /** Nobody else waits for the disk. */
  isQuiet: () => boolean,
  buffers = openAligned(writeBytes, maxAligned),
): Spool {
  let coming = 0;

  /** Past the page cache where memory and file system allow it, else beside, by a descriptor of its own. */
  const writePiece = async (file: BlankFile, piece: Buffer, at: number): Promise<void> => {
    if (!(file.flags & direct)) return await writeAll(file.descriptor, piece, at);
    try {
      if (buffers.isAligned(piece)) return await writeAll(file.descriptor, inBlocks(piece), at);
    } catch (thrown) {
      if (!isRefusal(thrown)) throw thrown;
      blanks.forgoDirect();
    }
    const ordinary = openSync(file.path, constants.O_WRONLY | (file.flags & ~direct));
    try {
      await writeAll(ordinary, piece, at);
    } finally {
      closeSync(ordinary);
    }
  };

  const spool = async (cipher: AsyncIterable<Uint8Array>): Promise<Spooled> => {
    let small: Uint8Array[] = [];
    let size = 0;
    let buffer: Buffer | undefined;
    /** Where the buffer begins in the file, and how much of it is there, or on its way. */
    let [at, begun] = [0, 0];
    let file: BlankFile | undefined;
    let isLarge = false;
    let writing: Promise<void> = Promise.resolve();
    const drop = async (): Promise<void> => {
      await writing.catch(() => undefined);
      if (buffer) buffers.put(buffer);
      if (file) discard(file);
      [buffer, file] = [undefined, undefined];
    };
    const begin = async (): Promise<void> => {
      file = await blanks.take();
      if (!buffer || !(file.flags & direct)) return;
      begun = size - (size % blockBytes);
      writing = writePiece(file, buffer.subarray(0, begun), 0);
      writing.catch(() => undefined);
    };
    /** One write under way while the next piece is encrypted; many of them wait for the disk once, at their end. */
    const flush = async (full: Buffer): Promise<void> => {
      file ??= await blanks.take();
      await writing;
      if (!isLarge) file = unsynced(file);
      isLarge = true;
      writing = writePiece(file, full.subarray(begun), at + begun).finally(() => buffers.put(full));
      writing.catch(() => undefined);
      buffer = undefined;
      [size, begun, at] = [0, 0, at + full.length];
    };
    const add = async (chunk: Uint8Array): Promise<void> => {
      for (let rest = chunk; rest.length > 0; ) {
        buffer ??= buffers.take();
        const some = rest.subarray(0, buffer.length - size);
        buffer.set(some, size);
        size += some.length;
        rest = rest.subarray(some.length);
        if (size === buffer.length) await flush(buffer);
        else if (!file && size >= firstBytes && coming === 1 && isQuiet()) await begin();
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
    } catch (thrown) {
      await drop();
      throw diskFault(thrown);
    }
    if (!file && !buffer)
      return { inline: Buffer.concat(small, size), keep: async () => ({ file: null, written: writing }), drop };
    const write = async (blank: BlankFile, rest: Buffer | undefined): Promise<void> => {
      try {
        const last = rest && begun < size ? writePiece(blank, rest.subarray(begun, size), at + begun) : undefined;
        // Both have ended before the descriptor is closed, whatever becomes of them.
        for (const { reason } of await Promise.allSettled([writing, last ?? writing]).then(failures)) throw reason;
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
      const blank = file ?? (await blanks.take().catch(refuse));
      // Both are of the write from here on: whoever drops what was taken leaves them alone.
      const rest = buffer;
      [file, buffer] = [undefined, undefined];
      const written = write(blank, rest);
      // Who never asks whether it is durable commits nothing of it.
      written.catch(() => undefined);
      return { file: blank.name, written };
    };
    return { inline: null, keep, drop };
  };

  return async (cipher) => {
    coming += 1;
    try {
      return await spool(cipher);
    } finally {
      coming -= 1;
    }
  };
}

/** The same file without O_DSYNC, which nobody is writing to; where that fails it is as it was. */
function unsynced(blank: BlankFile): BlankFile {
  const flags = blank.flags & ~constants.O_DSYNC;
  const descriptor = openSync(blank.path, constants.O_WRONLY | flags);
  closeSync(blank.descriptor);
  return { ...blank, flags, descriptor };
}

const failures = (settled: readonly PromiseSettledResult<void>[]): readonly PromiseRejectedResult[] =>
  settled.filter((each) => each.status === "rejected");

function refuse(thrown: unknown): never {
  throw diskFault(thrown);
}

function diskFault(thrown: unknown): unknown {
  if (isFull(thrown))
    return new Fault("STORE_FULL", "the disk is full, or has no inodes left (df -i); free space", { cause: thrown });
  if (hasFailed(thrown))
    return new Fault("STORE_DAMAGED", "the disk failed; check it and restart the site", { cause: thrown });
  return thrown;
}

async function writeAll(descriptor: number, bytes: Uint8Array, at: number): Promise<void> {
  for (let written = 0; written < bytes.length; ) {
    const { bytesWritten } = await disk.write(descriptor, bytes, written, bytes.length - written, at + written);
    written += bytesWritten;
  }
}
