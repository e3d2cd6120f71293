/** Files as octets, read and written with little else in between: what `seal` and `open` spend is cryptography. */
import { closeSync, openSync, readSync, statSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { type Digests, digestPart, rootOf, segmentBytes } from "../../envelope/part.ts";
import { Fault } from "../../errors.ts";

const readBytes = 1 << 18;
const writeBytes = 1 << 18;
/** Below this the start of threads costs more than they save. */
export const threadedBytes = 64 * 1024 * 1024;
/** A thread makes little garbage and needs no room for it. */
export const threadLimits = { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 32 } as const;

/** Size of a file that can be sealed; QUERY_INVALID for anything else. */
export function sizeOfFile(file: string): number {
  const found = statSync(file, { throwIfNoEntry: false });
  if (!found?.isFile() || found.size === 0) throw new Fault("QUERY_INVALID", `${file} is no file, or empty`);
  return found.size;
}

/**
 * Octets `from` to before `to`, in buffers that are used again, since fresh memory costs more than the reading: a chunk is good
 * until as many more were asked for as there are buffers.
 */
export async function* octetsOf(
  file: string,
  from: number,
  to: number,
  { buffers = 1, bytes = readBytes } = {},
): AsyncGenerator<Uint8Array> {
  const handle = openSync(file, "r");
  const size = Math.min(bytes, Math.max(1, to - from));
  const ring = Array.from({ length: buffers }, () => Buffer.allocUnsafeSlow(size));
  try {
    for (let at = from; at < to; ) {
      const buffer = ring.shift() as Buffer<ArrayBuffer>;
      ring.push(buffer);
      const count = readSync(handle, buffer, 0, Math.min(size, to - at), at);
      if (count === 0) throw changed(file);
      at += count;
      yield buffer.subarray(0, count);
    }
  } finally {
    closeSync(handle);
  }
}

export const changed = (file: string): Fault =>
  new Fault("STORE_CONFLICT", `${file} changed while it was sealed; seal it again`);

/** Octets as they pass, and how many there will be: for a person to see. */
export type Watch = (octets: AsyncIterable<Uint8Array>, total: number) => AsyncIterable<Uint8Array>;

/**
 * Digests of a file in segments; those of a large one are made by so many threads: as many as there are processors. `watch` sees
 * what this thread reads.
 */
export async function digestFile(
  file: string,
  size: number,
  most = availableParallelism(),
  watch: Watch = (octets) => octets,
): Promise<Digests> {
  if (size < threadedBytes) return await digestPart(watch(octetsOf(file, 0, size), size), "segments");
  const count = Math.min(most, 8);
  const share = Math.ceil(size / count / segmentBytes) * segmentBytes;
  const ranges = Array.from({ length: Math.ceil(size / share) }, (_, index) => ({
    file,
    from: index * share,
    to: Math.min(size, (index + 1) * share),
  }));
  // This thread takes the first range itself.
  const [first, ...others] = ranges;
  const threads = others.map(inThread);
  // Whoever waits for them below hears of a failure.
  for (const thread of threads) thread.catch(() => undefined);
  const own = first ? await digested(first, watch) : new Uint8Array();
  const segs = Buffer.concat([own, ...(await Promise.all(threads))]);
  return { size, sha256: null, segs, root: rootOf(size, segs) };
}

/** A range of whole segments, and the digests of those that come back. */
export type Range = { readonly file: string; readonly from: number; readonly to: number };

/** Digests of the segments in a range. */
export async function digested({ file, from, to }: Range, watch: Watch = (octets) => octets): Promise<Uint8Array> {
  const { segs } = await digestPart(watch(octetsOf(file, from, to), to - from), "segments");
  return segs ?? new Uint8Array();
}

async function inThread(range: Range): Promise<Uint8Array> {
  const worker = new Worker(new URL("./digest-worker.ts", import.meta.url), {
    workerData: range,
    resourceLimits: threadLimits,
  });
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
  worker.once("message", resolve).once("error", reject);
  worker.once("exit", () => reject(changed(range.file)));
  return await promise;
}

/**
 * Writes a stream to a new file; one write is under way while the next octets are made. A chunk of `writeBytes` and more must
 * stay as it is until the third after it is asked for, a smaller one for good.
 */
export async function writeFileOf(
  path: string,
  body: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  mode: number,
): Promise<void> {
  const handle = await open(path, "w", mode);
  let writing: Promise<void> = Promise.resolve();
  let gathered: Uint8Array[] = [];
  let size = 0;
  const flush = async (): Promise<void> => {
    await writing;
    writing = writeAll(handle, gathered, size);
    writing.catch(() => undefined);
    [gathered, size] = [[], 0];
  };
  try {
    for await (const chunk of body) {
      gathered.push(chunk);
      size += chunk.length;
      if (size >= writeBytes) await flush();
    }
    await flush();
    await writing;
  } finally {
    await writing.catch(() => undefined);
    await handle.close();
  }
}

async function writeAll(handle: FileHandle, chunks: readonly Uint8Array[], size: number): Promise<void> {
  if (size === 0) return;
  const { bytesWritten } = await handle.writev(chunks);
  if (bytesWritten < size) await handle.writeFile(Buffer.concat(chunks).subarray(bytesWritten));
}
