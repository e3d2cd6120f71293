/**
 * BER (X.690 8.1) pulled from a stream of any size: definite and indefinite lengths, OCTET STRINGs in one piece or in many.
 * What is read whole comes out with definite lengths throughout, so that the DER reader can take it apart.
 */
import { malformed, puller } from "./ber.ts";
import { lengthOctets, tag, tlv } from "./der.ts";

/** Takes elements one after the other; ENVELOPE_NOT_OPENED for what does not come as expected. */
export type BerReader = {
  /** Tag octet of the next element; undefined at the end of the element that is open. */
  next(): Promise<number | undefined>;
  /** Enters a constructed element. */
  enter(tagOctet: number, what: string): Promise<void>;
  /** Leaves the element entered last, of which nothing may be left. */
  leave(what: string): Promise<void>;
  /** The next element, with its tag and length, of at most `limit` octets. */
  whole(tagOctet: number, limit: number, what: string): Promise<Uint8Array>;
  /** The octets of an OCTET STRING, which has this tag when it is primitive. */
  octets(tagOctet: number, what: string): AsyncGenerator<Uint8Array>;
  /** Nothing may follow. */
  end(): Promise<void>;
};

const constructed = 0x20;
const indefinite = 0x80;
const maxLengthOctets = 4;
const maxDepth = 16;
/** Elements inside one that is read whole; of signers, certificates and receivers there are some hundreds. */
const maxElements = 10_000;
/** An OCTET STRING comes in pieces of this size on average, since each costs as much as a thousand octets; a few may be of any size. */
const leastPieceBytes = 64;
const maxSmallPieces = 8192;

type Level = { readonly bound: number; readonly isDefinite: boolean; isOver: boolean };
type Header = { readonly tag: number; readonly length: number | undefined };

/** Reads BER from a stream. */
export function berReader(stream: AsyncIterable<Uint8Array>): BerReader {
  const source = puller(stream);
  const levels: Level[] = [];
  let at = 0;
  let pending: Header | undefined;

  const bound = (): number => levels.at(-1)?.bound ?? Number.POSITIVE_INFINITY;
  const advance = (count: number): void => {
    at += count;
    if (at > bound()) throw malformed("an element that is longer than what holds it");
  };
  const exactly = async (count: number): Promise<Uint8Array> => {
    advance(count);
    return await source.exactly(count);
  };
  const lengthFrom = async (first: number): Promise<number | undefined> => {
    if (first < indefinite) return first;
    if (first === indefinite) return undefined;
    const count = first & 0x7f;
    if (count > maxLengthOctets) throw malformed("a giant length");
    const length = (await exactly(count)).reduce((value, octet) => value * 256 + octet, 0);
    if (length < 0x80 || length < 256 ** (count - 1)) throw malformed("a length that is not minimal");
    return length;
  };
  const load = async (): Promise<Header | undefined> => {
    const level = levels.at(-1);
    if (pending || level?.isOver) return pending;
    if (level?.isDefinite && at === level.bound) {
      level.isOver = true;
      return undefined;
    }
    const [tagOctet = 0, first = 0] = await exactly(2);
    if ((tagOctet & 0x1f) === 0x1f) throw malformed("a tag number over 30");
    const length = await lengthFrom(first);
    if (length === undefined && (tagOctet & constructed) === 0) throw malformed("a primitive of indefinite length");
    if (tagOctet === 0) {
      if (!level || level.isDefinite || length !== 0) throw malformed("an end-of-contents where none is due");
      level.isOver = true;
      return undefined;
    }
    pending = { tag: tagOctet, length };
    return pending;
  };
  const take = async (tagOctet: number, what: string): Promise<Header> => {
    const header = await load();
    if (header?.tag !== tagOctet) throw malformed(`${what} expected`);
    pending = undefined;
    return header;
  };
  const push = ({ length }: Header): void => {
    if (levels.length >= maxDepth) throw malformed(`nested deeper than ${maxDepth}`);
    const end = length === undefined ? bound() : at + length;
    if (end > bound()) throw malformed("an element that is longer than what holds it");
    levels.push({ bound: end, isDefinite: length !== undefined, isOver: false });
  };
  const leave = async (what: string): Promise<void> => {
    if (await load()) throw malformed(`more in ${what} than belongs there`);
    levels.pop();
  };
  async function* primitive({ length = 0 }: Header): AsyncGenerator<Uint8Array> {
    advance(length);
    yield* source.streamed(length);
  }
  const whole = async (
    tagOctet: number,
    limit: number,
    what: string,
    budget = { left: maxElements },
  ): Promise<Uint8Array> => {
    budget.left -= 1;
    if (budget.left < 0) throw malformed(`${what} of more than ${maxElements} elements`);
    const header = await take(tagOctet, what);
    if (header.length !== undefined) {
      if (header.length > limit) throw malformed(`${what} over ${limit} octets`);
      return Buffer.concat([
        Uint8Array.of(tagOctet),
        lengthOctets(header.length),
        Uint8Array.from(await exactly(header.length)),
      ]);
    }
    push(header);
    const children: Uint8Array[] = [];
    let left = limit;
    for (let inner = await load(); inner; inner = await load()) {
      const child = await whole(inner.tag, left, what, budget);
      left -= child.length;
      if (left < 0) throw malformed(`${what} over ${limit} octets`);
      children.push(child);
    }
    await leave(what);
    return tlv(tagOctet, ...children);
  };
  return {
    next: async () => (await load())?.tag,
    enter: async (tagOctet, what) => push(await take(tagOctet, what)),
    leave,
    whole: async (tagOctet, limit, what) => await whole(tagOctet, limit, what),
    octets: async function* (tagOctet, what) {
      const header = await load();
      if (header?.tag !== (tagOctet | constructed)) return yield* primitive(await take(tagOctet, what));
      push(await take(tagOctet | constructed, what));
      let [pieces, size] = [0, 0];
      for (let inner = await load(); inner; inner = await load()) {
        pieces += 1;
        size += inner.length ?? 0;
        if (pieces > maxSmallPieces && size < pieces * leastPieceBytes)
          throw malformed(`${what} in pieces of less than ${leastPieceBytes} octets`);
        yield* primitive(await take(tag.octetString, `${what} in primitive pieces`));
      }
      await leave(what);
    },
    end: async () => await source.end(),
  };
}
