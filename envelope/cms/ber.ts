/**
 * The little BER (X.690 8.1) that a streamed part needs: octets pulled from a stream by count, and definite lengths. What
 * is read whole (signatures, certificates) is DER and read elsewhere.
 */
import { Fault } from "../../errors.ts";
import { lengthOctets } from "./der.ts";

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
      if (first < 0x80) return { tag, length: first };
      const count = first & 0x7f;
      if (count === 0 || count > maxLengthOctets) throw malformed("an indefinite or giant length where none is due");
      const length = (await exactly(count)).reduce((value, octet) => value * 256 + octet, 0);
      if (length < 0x80 || length < 256 ** (count - 1)) throw malformed("a length that is not minimal");
      return { tag, length };
    },
    end: async () => {
      if (await hasMore()) throw malformed("octets after the end of the part");
    },
  };
}

/** The elements that stand one after the other in these octets, each with its tag and length; at most `limit`. */
export async function elements(octets: Uint8Array, limit: number): Promise<readonly Uint8Array[]> {
  const found: Uint8Array[] = [];
  const source = puller(each([octets]));
  for (let at = 0; at < octets.length; ) {
    if (found.length >= limit) throw malformed(`more than ${limit} elements`);
    const { length } = await source.header();
    const end = at + 1 + lengthOctets(length).length + length;
    await source.exactly(length);
    found.push(octets.subarray(at, end));
    at = end;
  }
  return found;
}

/** An array as a stream. */
export async function* each<T>(values: readonly T[]): AsyncGenerator<T> {
  yield* values;
}
