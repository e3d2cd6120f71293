/**
 * Segments of files in memory that two threads share: one reads them, the other encrypts them, and whichever has to wait takes
 * digests meanwhile. Nothing is read twice, and both processors have work until the end. Memory is that of the slots.
 */
import { hash } from "node:crypto";
import { closeSync, openSync, readSync } from "node:fs";
import { segmentBytes } from "../../envelope/part.ts";
import { changed } from "./files.ts";

/** Shared between the threads. Segments are numbered through all files; segment n stands in slot n modulo `slots`. */
export type Ring = {
  readonly octets: SharedArrayBuffer;
  /** SHA-256 of each segment. */
  readonly digests: SharedArrayBuffer;
  /** The counters below, then two numbers a slot: how many octets stand in it, and how many uses of them are left. */
  readonly counts: Int32Array<SharedArrayBuffer>;
};

const slots = 8;
/** Of SHA-256. */
export const digestBytes = 32;
/** `moved` grows with every change, so that who has nothing to do waits for the next one. */
const [filled, claimed, digested, moved, ofSlots] = [0, 1, 2, 3, 4] as const;
/** A segment is digested and encrypted. */
const uses = 2;

export const openRing = (segments: number): Ring => ({
  octets: new SharedArrayBuffer(slots * segmentBytes),
  digests: new SharedArrayBuffer(segments * digestBytes),
  counts: new Int32Array(new SharedArrayBuffer((ofSlots + 2 * slots) * Int32Array.BYTES_PER_ELEMENT)),
});

const lengthAt = (n: number): number => ofSlots + 2 * (n % slots);
const usesAt = (n: number): number => lengthAt(n) + 1;
const segmentOf = ({ octets, counts }: Ring, n: number): Uint8Array =>
  new Uint8Array(octets, (n % slots) * segmentBytes, Atomics.load(counts, lengthAt(n)));
const digestOf = ({ digests }: Ring, n: number): Uint8Array => new Uint8Array(digests, n * digestBytes, digestBytes);

function tell({ counts }: Ring): void {
  Atomics.add(counts, moved, 1);
  Atomics.notify(counts, moved);
}

function used(ring: Ring, n: number): void {
  Atomics.sub(ring.counts, usesAt(n), 1);
  tell(ring);
}

/** Digests one segment that nobody has taken yet; false when there is none. */
function digestOne(ring: Ring): boolean {
  const { counts } = ring;
  const n = Atomics.load(counts, claimed);
  if (n === Atomics.load(counts, filled)) return false;
  // Of two that see the same segment one takes it; the other looks again.
  if (Atomics.compareExchange(counts, claimed, n, n + 1) !== n) return true;
  digestOf(ring, n).set(hash("sha256", segmentOf(ring, n), "buffer"));
  Atomics.add(counts, digested, 1);
  used(ring, n);
  return true;
}

/** Reads `size` octets of a file; yields each segment once it is there for both. `signal`: the other thread failed. */
export async function* fillRing(
  ring: Ring,
  file: string,
  size: number,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const { counts } = ring;
  const handle = openSync(file, "r");
  try {
    for (let at = 0; at < size; at += segmentBytes) {
      const n = Atomics.load(counts, filled);
      await turn(ring, () => Atomics.load(counts, usesAt(n)) === 0, signal);
      Atomics.store(counts, lengthAt(n), Math.min(segmentBytes, size - at));
      const segment = segmentOf(ring, n);
      // A file that became shorter is told by its length, before the other thread takes what is not there.
      for (let read = 0; read < segment.length; ) {
        const count = readSync(handle, segment, read, segment.length - read, at + read);
        if (count === 0) throw changed(file);
        read += count;
      }
      Atomics.store(counts, usesAt(n), uses);
      Atomics.store(counts, filled, n + 1);
      tell(ring);
      yield segment;
    }
  } finally {
    closeSync(handle);
  }
}

/** SHA-256 of all segments, one after the other, as soon as they are all taken. `signal` as above. */
export async function digestsOf(ring: Ring, signal: AbortSignal): Promise<Uint8Array> {
  const total = ring.digests.byteLength / digestBytes;
  await turn(ring, () => Atomics.load(ring.counts, digested) === total, signal);
  return new Uint8Array(ring.digests);
}

/** Digests until `ready`; waits without holding the loop up, on which the other thread's failure is heard. */
async function turn(ring: Ring, ready: () => boolean, signal: AbortSignal): Promise<void> {
  const { counts } = ring;
  for (;;) {
    signal.throwIfAborted();
    const now = Atomics.load(counts, moved);
    if (ready()) return;
    if (digestOne(ring)) continue;
    await new Promise<void>((resolve) => {
      signal.onabort = () => resolve();
      void Promise.resolve(Atomics.waitAsync(counts, moved, now).value).then(() => resolve());
    });
  }
}

/** The other thread's side: segments from number `from` to before `to`, each given back when the next one is asked for. */
export function* emptyRing(ring: Ring, from: number, to: number): Generator<Uint8Array> {
  const { counts } = ring;
  for (let n = from; n < to; n += 1) {
    rest(ring, () => Atomics.load(counts, filled) > n);
    yield segmentOf(ring, n);
    used(ring, n);
  }
}

/** Takes digests with the first thread until none is left to be taken. */
export function helpDigest(ring: Ring): void {
  while (digestOne(ring));
}

/** `turn` on a thread that has nothing else to hear. */
function rest(ring: Ring, ready: () => boolean): void {
  for (;;) {
    const now = Atomics.load(ring.counts, moved);
    if (ready()) return;
    if (!digestOne(ring)) Atomics.wait(ring.counts, moved, now);
  }
}
