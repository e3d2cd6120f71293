/** A body on its way to its place: small ones are held, larger ones go to a temp file that is made durable under its name. */
import { closeSync, existsSync, fdatasync, fsync, mkdirSync, open, openSync, rename, unlink, writev } from "node:fs";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { Fault } from "../errors.ts";

/** Up to this many octets stay with their index row. */
export const maxInlineBytes = 64 * 1024;
/** Chunks are gathered to writes of about this size: each is a turn of a thread of the pool. */
const writeBytes = 1024 * 1024;

// Descriptors in place of file handles: each step of those is a turn of the thread pool, to close too.
const disk = {
  open: promisify(open),
  writev: promisify(writev),
  datasync: promisify(fdatasync),
  sync: promisify(fsync),
  rename: promisify(rename),
  unlink: promisify(unlink),
} as const;

export type Spooled = {
  /** The whole of it; null where it is a file. */
  readonly inline: Uint8Array | null;
  /** Moves the file to its place; resolves when its octets and its name are on stable storage. */
  keep(path: string): Promise<void>;
  drop(): Promise<void>;
};

let spooled = 0;

/** Takes the ciphertext in. An iterable that throws leaves nothing behind. STORE_FULL, or STORE_DAMAGED when the disk fails. */
export async function spool(cipher: AsyncIterable<Uint8Array>, folder: string): Promise<Spooled> {
  spooled += 1;
  let path = join(folder, String(spooled));
  let gathered: Uint8Array[] = [];
  let size = 0;
  let file: Promise<number> | undefined;
  let writing: Promise<unknown> = Promise.resolve();
  const drop = async (): Promise<void> => {
    await writing.catch(() => undefined);
    const descriptor = await file?.catch(() => undefined);
    file = undefined;
    if (descriptor === undefined) return;
    closeSync(descriptor);
    await disk.unlink(path).catch(() => undefined);
  };
  try {
    for await (const chunk of cipher) {
      gathered.push(chunk);
      size += chunk.length;
      if (size <= maxInlineBytes) continue;
      if (!file) {
        file = disk.open(path, "wx", 0o600);
        file.catch(() => undefined);
      }
      if (size < writeBytes) continue;
      // One write under way while the next piece is encrypted.
      await writing;
      writing = writeAll(await file, gathered);
      writing.catch(() => undefined);
      [gathered, size] = [[], 0];
    }
    if (!file) return { inline: Buffer.concat(gathered, size), keep: async () => undefined, drop };
    await writing;
    const descriptor = await file;
    if (size > 0) await writeAll(descriptor, gathered);
    const keep = async (place: string): Promise<void> => {
      try {
        await makeFolder(dirname(place));
        await disk.rename(path, place);
        path = place;
        // Both at once: what they wait for is mostly one and the same commit of the file system.
        const syncs = await Promise.allSettled([disk.datasync(descriptor), syncFolder(dirname(place))]);
        for (const each of syncs) if (each.status === "rejected") throw each.reason;
        closeSync(descriptor);
        file = undefined;
      } catch (thrown) {
        throw diskFault(thrown);
      }
    };
    return { inline: null, keep, drop };
  } catch (thrown) {
    await drop();
    throw diskFault(thrown);
  }
}

function diskFault(thrown: unknown): unknown {
  const { code } = thrown as NodeJS.ErrnoException;
  if (code === "ENOSPC") return new Fault("STORE_FULL", "the disk is full; free space", { cause: thrown });
  if (code === "EIO")
    return new Fault("STORE_DAMAGED", "the disk failed; check it and restart the site", { cause: thrown });
  return thrown;
}

async function makeFolder(folder: string): Promise<void> {
  if (existsSync(folder)) return;
  mkdirSync(folder, { mode: 0o700, recursive: true });
  await syncFolder(dirname(folder));
}

/** The names in a folder are durable. */
async function syncFolder(folder: string): Promise<void> {
  const descriptor = openSync(folder, "r");
  try {
    await disk.sync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

async function writeAll(descriptor: number, chunks: readonly Uint8Array[]): Promise<void> {
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
