/**
 * Large files into an envelope in one pass each: where their ciphertext will stand follows from sizes alone, so this thread
 * reads them while another encrypts them straight into the envelope's file, both take digests, and what stands around them
 * is written last.
 */
import { closeSync, openSync, writeSync } from "node:fs";
import { Worker } from "node:worker_threads";
import type { Content, RawHeaders, Sealed } from "../../envelope/index.ts";
import { writeMessage } from "../../envelope/message.ts";
import { type PartFacts, rootOf, segmentBytes } from "../../envelope/part.ts";
import { Fault } from "../../errors.ts";
import { threadLimits } from "./files.ts";
import { progress } from "./progress.ts";
import { digestBytes, digestsOf, fillRing, openRing, type Ring } from "./ring.ts";

/** A file that becomes a part. */
export type FilePart = {
  readonly file: string;
  readonly size: number;
  readonly what: Pick<Content, "role" | "type" | "sop">;
};
/** What the thread is started with: the files' sizes. */
export type Encryption = { readonly ring: Ring; readonly sizes: readonly number[] };
/** What it is told then: `places[n]` is where the ciphertext of segment n stands in `out`. */
export type Placed = { readonly out: string; readonly places: readonly number[] };
/** What it has drawn and computed for each file. */
export type Encrypted = Pick<PartFacts, "cek" | "nonce" | "tag">;

/** Stands for octets that the thread writes. */
const hole = Buffer.allocUnsafeSlow(segmentBytes);
/** A header that nobody reads (RFC 5322 3.6.5) fills up what a signature is shorter than another one. */
const slackBytes = 64;
const filler = (octets: number): readonly [string, string] => ["Comments", "-".repeat(octets)];

/** Writes the envelope of a document and files to `out`, a new file. `seal` is asked twice: for lengths, then for the envelope. */
export async function sealInPlace(
  out: string,
  document: Content,
  files: readonly FilePart[],
  seal: (content: readonly Content[]) => Promise<Sealed>,
): Promise<void> {
  const ring = openRing(files.reduce((sum, { size }) => sum + segmentsOf(size), 0));
  // A thread takes a while to start: meanwhile lengths are found out.
  await using thread = startThread({ ring, sizes: files.map(({ size }) => size) });
  const { size } = document.facts;
  const blank = await seal([
    { ...document, facts: blankFacts(size, "whole"), cipher: () => holes(size) },
    ...files.map((part) => content(part, blankFacts(part.size, "segments"))),
  ]);
  const total = lengthOf(blank) + slackBytes;
  const places = (await placesIn(blank)).slice(segmentsOf(size)).map((at) => at + slackBytes);
  const handle = openSync(out, "wx", 0o600);
  try {
    thread.begin({ out, places });
    for (const { file, size } of files)
      for await (const _ of progress(fillRing(ring, file, size, thread.failed), "sealed", size));
    const digests = await digestsOf(ring, thread.failed);
    const encrypted = await thread.ended;
    let segment = 0;
    const contents = files.map((part, at) => {
      const { size } = part;
      const from = segment;
      segment += segmentsOf(size);
      const segs = digests.slice(digestBytes * from, digestBytes * segment);
      return content(part, { ...blankFacts(size, "segments"), ...encrypted[at], segs, root: rootOf(size, segs) });
    });
    const sealed = await seal([document, ...contents]);
    const missing = total - lengthOf({ ...sealed, headers: [...sealed.headers, filler(0)] });
    await writeAround(handle, { ...sealed, headers: [...sealed.headers, filler(missing)] }, total);
  } finally {
    closeSync(handle);
  }
}

const content = ({ size, what }: FilePart, facts: PartFacts): Content => ({
  ...what,
  facts,
  cipher: () => holes(size),
});
const segmentsOf = (size: number): number => Math.ceil(size / segmentBytes);

async function* holes(size: number): AsyncGenerator<Uint8Array> {
  for (let left = size; left > 0; left -= segmentBytes) yield hole.subarray(0, Math.min(left, segmentBytes));
}

/** Facts of the right lengths, for a manifest that is thrown away. */
function blankFacts(size: number, form: "whole" | "segments"): PartFacts {
  const [cek, nonce, tag] = [Buffer.alloc(32), Buffer.alloc(12), Buffer.alloc(16)];
  const segs = Buffer.alloc(digestBytes * segmentsOf(size));
  return form === "whole"
    ? { size, sha256: "0".repeat(64), segs: null, root: null, cek, nonce, tag }
    : { size, sha256: null, segs, root: rootOf(size, segs), cek, nonce, tag };
}

const headBytes = (headers: RawHeaders): number =>
  headers.reduce((sum, [name, value]) => sum + name.length + value.length + ": \r\n".length, "\r\n".length);
const lengthOf = ({ headers, contentLength }: Sealed): number => headBytes(headers) + contentLength;

/** Where each hole begins. */
async function placesIn({ headers, body }: Sealed): Promise<number[]> {
  const places: number[] = [];
  let at = 0;
  for await (const chunk of writeMessage(headers, body())) {
    if (chunk.buffer === hole.buffer) places.push(at);
    at += chunk.length;
  }
  return places;
}

/** Everything but the holes, each in its place. */
async function writeAround(handle: number, { headers, body }: Sealed, total: number): Promise<void> {
  let at = 0;
  for await (const chunk of writeMessage(headers, body())) {
    if (chunk.buffer !== hole.buffer) writeSync(handle, chunk, 0, chunk.length, at);
    at += chunk.length;
  }
  if (at !== total) throw new Fault("UNEXPECTED", "the envelope is not of the length that was foreseen");
}

type EncryptThread = AsyncDisposable & {
  begin(placed: Placed): void;
  readonly ended: Promise<readonly Encrypted[]>;
  readonly failed: AbortSignal;
};

/** The thread that encrypts; it waits for the ring, so it is ended with whoever fills that. */
function startThread(workerData: Encryption): EncryptThread {
  const worker = new Worker(new URL("./encrypt-worker.ts", import.meta.url), {
    workerData,
    resourceLimits: threadLimits,
  });
  const { promise, resolve, reject } = Promise.withResolvers<readonly Encrypted[]>();
  const failed = new AbortController();
  worker.once("message", resolve).once("error", reject);
  worker.once("exit", () => reject(new Fault("UNEXPECTED", "the thread that encrypts ended before its time")));
  promise.catch((cause: unknown) => failed.abort(cause));
  return {
    begin: (placed) => worker.postMessage(placed),
    ended: promise,
    failed: failed.signal,
    [Symbol.asyncDispose]: async () => void (await worker.terminate()),
  };
}
