/**
 * The body of a sealed envelope as it lies: octets that are at hand, and between them ciphertext that rests elsewhere. It can be
 * read from any octet on, and gives the same octets every time: key, manifest and signature are among those that are at hand.
 */
import { segments, segmentsLength } from "./frame.ts";
import { segmentBytes } from "./part.ts";

/** Octets; or the ciphertext of content `index`, which goes out in OCTET STRINGs of one mebibyte each. */
export type Run = { readonly octets: Uint8Array } | { readonly index: number; readonly size: number };

/** Ciphertext of content `index`, from one of its octets on. */
export type CipherFrom = (index: number, from: number) => AsyncIterable<Uint8Array>;

const runLength = (run: Run): number => ("octets" in run ? run.octets.length : segmentsLength(run.size));

/** Octets `from` to `end`, without that one. Ciphertext is read from the mebibyte on that `from` lies in. STORE_DAMAGED as `segments`. */
export async function* readRuns(
  runs: readonly Run[],
  { from, end }: { readonly from: number; readonly end: number },
  cipher: CipherFrom,
): AsyncGenerator<Uint8Array> {
  let at = 0;
  for (const run of runs) {
    const length = runLength(run);
    const [first, last] = [Math.max(from - at, 0), Math.min(end - at, length)];
    at += length;
    if (first >= last) continue;
    if ("octets" in run) yield run.octets.subarray(first, last);
    else yield* cut(segmentsFrom(run, first, cipher), first % framedSegment, last - first);
  }
}

const framedSegment = segmentsLength(segmentBytes);

function segmentsFrom({ index, size }: { index: number; size: number }, octet: number, cipher: CipherFrom) {
  const start = Math.floor(octet / framedSegment) * segmentBytes;
  return segments(cipher(index, start), size - start);
}

async function* cut(source: AsyncIterable<Uint8Array>, skip: number, count: number): AsyncGenerator<Uint8Array> {
  let [skipped, taken] = [0, 0];
  for await (const chunk of source) {
    const before = Math.min(skip - skipped, chunk.length);
    const piece = chunk.subarray(before, before + count - taken);
    skipped += before;
    taken += piece.length;
    if (piece.length > 0) yield piece;
    if (taken === count) return;
  }
}
