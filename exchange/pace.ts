/** The least a peer sends of its body while we wait for it: who drips is let go (refusal 17). */
import { Fault } from "../errors.ts";

/** So many octets in so long a wait. */
export type Pace = { readonly bytes: number; readonly ms: number };

/** 64 KiB in half a minute: a telephone line is faster. */
export const slowest: Pace = { bytes: 64 * 1024, ms: 30_000 };

export type Paced = { readonly body: AsyncIterable<Uint8Array>; isTooSlow(): boolean };

/** Octets that have come of one peer, on all its connections. */
export type Flow = { octets: number };

/**
 * The same body, read on by whoever iterates next; PEER_BUSY when it comes slower than this: the line, or a machine, may be better soon. Only what we wait
 * counts: a peer is not refused because our own disk is slow. What else comes of its peer meanwhile counts with it, as long as anything comes of itself: four
 * bodies on one slow line are no slower than one, and cut off they would come again together.
 */
export function paced(body: AsyncIterable<Uint8Array>, { bytes, ms }: Pace, flow: Flow = { octets: 0 }): Paced {
  let [waited, taken, before, isTooSlow] = [0, 0, flow.octets, false];
  const isEnough = (): boolean => taken > 0 && flow.octets - before >= bytes;
  const renew = (): void => {
    [waited, taken, before] = [0, 0, flow.octets];
  };
  async function* pieces(): AsyncGenerator<Uint8Array> {
    const iterator = body[Symbol.asyncIterator]();
    try {
      while (!isTooSlow) {
        const coming = iterator.next();
        let next: IteratorYieldResult<Uint8Array> | undefined;
        while (!next && !isTooSlow) {
          const started = performance.now();
          const come = await within(coming, ms - waited);
          if (come?.done) return;
          next = come;
          waited += performance.now() - started;
          const length = next?.value.length ?? 0;
          taken += length;
          flow.octets += length;
          if (isEnough()) renew();
          isTooSlow = waited >= ms;
        }
        if (next && !isTooSlow) yield next.value;
      }
    } finally {
      // What is still awaited cannot be returned to: whoever owns the connection closes it.
      if (!isTooSlow) await iterator.return?.();
    }
    throw new Fault("PEER_BUSY", `the body comes too slowly: less than ${bytes} octets in ${ms} ms`);
  }
  return { body: { [Symbol.asyncIterator]: pieces }, isTooSlow: () => isTooSlow };
}

type Next = IteratorResult<Uint8Array, unknown>;

async function within(awaited: Promise<Next>, ms: number): Promise<Next | undefined> {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => resolve(undefined), Math.max(0, ms));
  try {
    // Nobody waits any more for a body that breaks off later.
    awaited.catch(() => undefined);
    return await Promise.race([awaited, promise]);
  } finally {
    clearTimeout(timer);
  }
}
