/**
 * Octets of a file that one thread reads, and two use: the reader digests a slot while the other thread encrypts it, so that
 * nothing is read twice. Memory is that of the slots.
 */
import { closeSync, openSync, readSync } from "node:fs";
import { changed } from "./files.ts";

/** Shared between the threads: the slots, and how many were ever filled and emptied. */
export type Ring = { readonly octets: SharedArrayBuffer; readonly counts: Int32Array<SharedArrayBuffer> };

const slotBytes = 256 * 1024;
const slots = 16;
const [filled, emptied] = [0, 1] as const;

export const openRing = (): Ring => ({
  octets: new SharedArrayBuffer(slots * slotBytes),
  counts: new Int32Array(new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT)),
});

const slotOf = ({ octets }: Ring, n: number, size: number): Uint8Array =>
  new Uint8Array(octets, (n % slots) * slotBytes, size);

/** `size` octets of a file, each slot as soon as it is read, and told to the other thread at once. `signal`: that one failed. */
export async function* fillRing(
  ring: Ring,
  file: string,
  size: number,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const { counts } = ring;
  const handle = openSync(file, "r");
  try {
    for (let at = 0; at < size; ) {
      const n = Atomics.load(counts, filled);
      await room(counts, n, signal);
      const slot = slotOf(ring, n, Math.min(slotBytes, size - at));
      // A file that became shorter is told by its length, before the other thread takes what is not there.
      for (let read = 0; read < slot.length; ) {
        const count = readSync(handle, slot, read, slot.length - read, at + read);
        if (count === 0) throw changed(file);
        read += count;
      }
      at += slot.length;
      Atomics.store(counts, filled, n + 1);
      Atomics.notify(counts, filled);
      yield slot;
    }
  } finally {
    closeSync(handle);
  }
}

/** Waits for a slot without holding the loop up, on which the other thread's failure is heard. */
async function room(counts: Ring["counts"], n: number, signal: AbortSignal): Promise<void> {
  for (;;) {
    signal.throwIfAborted();
    const gone = Atomics.load(counts, emptied);
    if (n - gone < slots) return;
    await new Promise<void>((resolve) => {
      signal.onabort = () => resolve();
      void Promise.resolve(Atomics.waitAsync(counts, emptied, gone).value).then(() => resolve());
    });
  }
}

/** The same octets for the thread beside it; a slot is given back when the next one is asked for. */
export function* emptyRing(ring: Ring, size: number): Generator<Uint8Array> {
  const { counts } = ring;
  for (let at = 0; at < size; ) {
    const n = Atomics.load(counts, emptied);
    while (Atomics.load(counts, filled) === n) Atomics.wait(counts, filled, n);
    const slot = slotOf(ring, n, Math.min(slotBytes, size - at));
    yield slot;
    at += slot.length;
    Atomics.store(counts, emptied, n + 1);
    Atomics.notify(counts, emptied);
  }
}
