/**
 * The little BER (X.690 8.1) that a streamed part needs: octets pulled from a stream by count, and definite lengths. What
 * is read whole (signatures, certificates) is DER and read elsewhere.
 */
import { Fault } from "../../errors.ts";

/** Four length octets reach 4 GiB; nothing with a definite length is that large here. */
const maxLengthOctets = 4;

export const malformed = (what: string): Fault => new Fault("ENVELOPE_NOT_OPENED", `CMS: ${what}`);

/** Counted octets of a stream, in order. */
export type Puller = {
  exactly(count: number): Promise<Uint8Array>;
  /** The same octets as they come, in any number of pieces. */
  streamed(count: number): AsyncGenerator<Uint8Array>;
  /** A tag octet and the definite length after it. */
  header(): Promise<{ readonly tag: number; readonly length: number }>;
  /** Nothing may follow. */
  end(): Promise<void>;
};

/** Pulls from a stream; ENVELOPE_NOT_OPENED when it ends too early or too late. */
export function puller(stream: AsyncIterable<Uint8Array>): Puller {
  const iterator = stream[Symbol.asyncIterator]();
  let chunk: Uint8Array = new Uint8Array();
  const hasMore = async (): Promise<boolean> => {
    while (chunk.length === 0) {
      const next = await iterator.next();
      if (next.done === true) return false;
      chunk = new Uint8Array(next.value.buffer, next.value.byteOffset, next.value.length);
    }
    return true;
  };
  async function* streamed(count: number): AsyncGenerator<Uint8Array> {
    for (let left = count; left > 0; ) {
      if (!(await hasMore())) throw malformed("the part is truncated");
      const piece = chunk.subarray(0, left);
      chunk = chunk.subarray(piece.length);
      left -= piece.length;
      yield piece;
    }
  }
  async function exactly(count: number): Promise<Uint8Array> {
    if (chunk.length >= count) {
      const whole = chunk.subarray(0, count);
      chunk = chunk.subarray(count);
      return whole;
    }
    const pieces: Uint8Array[] = [];
    for await (const piece of streamed(count)) pieces.push(piece);
    return pieces.length === 1 && pieces[0] ? pieces[0] : Buffer.concat(pieces, count);
  }
  return {
    exactly,
    streamed,
    header: async () => {
      const [tag = 0, first = 0] = await exactly(2);
      return { tag, length: first < 0x80 ? first : lengthOf(await exactly(lengthCount(first))) };
    },
    end: async () => {
      if (await hasMore()) throw malformed("octets after the end of the part");
    },
  };
}

/** Octets that follow a first length octet which is not the length itself. */
function lengthCount(first: number): number {
  const count = first & 0x7f;
  if (count === 0 || count > maxLengthOctets) throw malformed("an indefinite or giant length where none is due");
  return count;
}

function lengthOf(octets: Uint8Array): number {
  let length = 0;
  for (const octet of octets) length = length * 256 + octet;
  if (length < 0x80 || length < 256 ** (octets.length - 1)) throw malformed("a length that is not minimal");
  return length;
}

/** The same of octets that are at hand. */
export type Taker = {
  exactly(count: number): Uint8Array;
  header(): { readonly tag: number; readonly length: number };
  /** How many are left. */
  left(): number;
  end(): void;
};

/** Takes from octets; faults as `puller`. */
export function taker(octets: Uint8Array): Taker {
  const all = new Uint8Array(octets.buffer, octets.byteOffset, octets.length);
  let at = 0;
  const exactly = (count: number): Uint8Array => {
    if (count > all.length - at) throw malformed("the part is truncated");
    at += count;
    return all.subarray(at - count, at);
  };
  return {
    exactly,
    header: () => {
      const [tag = 0, first = 0] = exactly(2);
      return { tag, length: first < 0x80 ? first : lengthOf(exactly(lengthCount(first))) };
    },
    left: () => all.length - at,
    end: () => {
      if (at < all.length) throw malformed("octets after the end of the part");
    },
  };
}

/** The elements that stand one after the other in these octets, each with its tag and length; at most `limit`. */
export function elements(octets: Uint8Array, limit: number): readonly Uint8Array[] {
  const found: Uint8Array[] = [];
  const source = taker(octets);
  while (source.left() > 0) {
    if (found.length >= limit) throw malformed(`more than ${limit} elements`);
    const start = octets.length - source.left();
    source.exactly(source.header().length);
    found.push(octets.subarray(start, octets.length - source.left()));
  }
  return found;
}

/** An array as a stream. */
export async function* each<T>(values: readonly T[]): AsyncGenerator<T> {
  yield* values;
}
