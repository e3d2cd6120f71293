/**
 * The CMS frame of a part: 151 octets of head in which only the key identifier, the wrapped key and the nonce vary, OCTET
 * STRINGs of at most one segment, and a tail with the tag. The reader compares everything else octet by octet.
 */
import { createCipheriv, createDecipheriv } from "node:crypto";
import { Fault } from "../errors.ts";
import { oids } from "./algorithms.ts";
import { context, integer, lengthOctets, octetString, oid, sequence, setOf, tlv } from "./cms/der.ts";
import { envelopeKey, type PartFacts, segmentBytes } from "./part.ts";

const wrapIv = Buffer.alloc(8, 0xa6);
const endOfContents = Uint8Array.of(0, 0);
const indefinite = (tagOctet: number): Uint8Array => Uint8Array.of(tagOctet, 0x80);
const place = { kekId: [33, 49], wrap: [64, 104], nonce: [134, 146] } as const;
const headBytes = 151;
/** Two end-of-contents, the mac, three end-of-contents. */
const tailBytes = 2 + 2 + 18 + 6;

const malformed = (what: string): Fault => new Fault("ENVELOPE_MALFORMED", `CMS: ${what}`);

/** Head up to the content: ContentInfo { AuthEnvelopedData v0 { recipients, id-data, aes256-GCM { nonce, 16 }, [0] … */
function headOf(recipients: readonly Uint8Array[], nonce: Uint8Array): Uint8Array {
  return Buffer.concat([
    indefinite(0x30),
    oid(oids.authEnvelopedData),
    indefinite(context(0)),
    indefinite(0x30),
    integer(0),
    setOf(...recipients),
    indefinite(0x30),
    oid(oids.data),
    sequence(oid(oids.aes256Gcm), sequence(octetString(nonce), integer(16))),
    indefinite(context(0)),
  ]);
}

const kekRecipient = (kekId: Uint8Array, wrapped: Uint8Array): Uint8Array =>
  tlv(context(2), integer(4), sequence(octetString(kekId)), sequence(oid(oids.aes256Wrap)), octetString(wrapped));

const template = headOf([kekRecipient(new Uint8Array(16), new Uint8Array(40))], new Uint8Array(12));

const tailOf = (tag: Uint8Array): Uint8Array =>
  Buffer.concat([endOfContents, endOfContents, octetString(tag), endOfContents, endOfContents, endOfContents]);

/** Octets on the wire of a part of this size. */
export function framedLength(size: number, headLength = headBytes): number {
  const whole = Math.floor(size / segmentBytes);
  const rest = size % segmentBytes;
  const segment = (length: number) => 1 + lengthOctets(length).length + length;
  return headLength + whole * segment(segmentBytes) + (rest > 0 ? segment(rest) : 0) + tailBytes;
}

/** The head of a part of this envelope: its key wrapped under the envelope's key-encryption key. */
export function partHead({ cek, nonce }: PartFacts, oneTimeKey: Uint8Array, id: string): Uint8Array {
  const cipher = createCipheriv("id-aes256-wrap", envelopeKey(oneTimeKey, id, "wrap"), wrapIv);
  const wrapped = Buffer.concat([cipher.update(cek), cipher.final()]);
  return headOf([kekRecipient(Buffer.from(id, "hex"), wrapped)], nonce);
}

/** The head of part 4: the recipients' own RecipientInfos. */
export const keyHead = (recipients: readonly Uint8Array[], nonce: Uint8Array): Uint8Array => headOf(recipients, nonce);

/** Head, ciphertext in OCTET STRINGs of one segment each, tail. */
export async function* framed(
  head: Uint8Array,
  cipher: AsyncIterable<Uint8Array>,
  size: number,
  tag: Uint8Array,
): AsyncGenerator<Uint8Array> {
  yield head;
  let sent = 0;
  for await (let chunk of cipher) {
    while (chunk.length > 0) {
      if (sent % segmentBytes === 0) {
        const length = Math.min(segmentBytes, size - sent);
        yield Buffer.concat([Uint8Array.of(0x04), lengthOctets(length)]);
      }
      const piece = chunk.subarray(0, segmentBytes - (sent % segmentBytes));
      if (sent + piece.length > size) throw new Fault("STORE_DAMAGED", "a part has more octets than its size");
      yield piece;
      sent += piece.length;
      chunk = chunk.subarray(piece.length);
    }
  }
  if (sent !== size) throw new Fault("STORE_DAMAGED", "a part has fewer octets than its size");
  yield tailOf(tag);
}

export type Unframed = {
  /** The wrapped key of a KEK recipient, or the RecipientInfos of part 4. */
  readonly head: Uint8Array;
  readonly nonce: Uint8Array;
  readonly cipher: AsyncIterable<Uint8Array>;
  /** Known once the ciphertext has ended. */
  tag(): Uint8Array | undefined;
};

/** Reads a part that was framed for this envelope: the head is the template, whatever else stands there is refused. */
export async function unframe(part: AsyncIterable<Uint8Array>, id: string): Promise<Unframed> {
  const source = puller(part);
  const head = await source.exactly(headBytes);
  const expected = Buffer.from(template);
  expected.set(Buffer.from(id, "hex"), place.kekId[0]);
  for (const [start, end] of [place.wrap, place.nonce]) expected.set(head.subarray(start, end), start);
  if (!expected.equals(head)) throw malformed("the head is not that of a part of this envelope");
  return body(source, head.subarray(...place.wrap), head.subarray(...place.nonce));
}

const maxRecipientsBytes = 256 * 1024;

/** Reads part 4, whose RecipientInfos are of any length: their octets, unparsed, are the head. */
export async function unframeKey(part: AsyncIterable<Uint8Array>): Promise<Unframed> {
  const source = puller(part);
  const before = Buffer.concat([
    indefinite(0x30),
    oid(oids.authEnvelopedData),
    indefinite(context(0)),
    indefinite(0x30),
    integer(0),
  ]);
  if (!before.equals(await source.exactly(before.length))) throw malformed("part 4 is not AuthEnvelopedData version 0");
  const set = await definite(source, 0x31, maxRecipientsBytes);
  const after = headOf([], new Uint8Array(12)).subarray(before.length + 2);
  const read = Buffer.from(await source.exactly(after.length));
  const nonceAt = place.nonce[0] - headBytes + after.length;
  const nonce = Uint8Array.from(read.subarray(nonceAt, nonceAt + 12));
  read.fill(0, nonceAt, nonceAt + 12);
  if (!read.equals(after)) throw malformed("part 4 is not encrypted with aes256-GCM, nonce of 12 and tag of 16 octets");
  return body(source, set, nonce);
}

function body(source: Puller, head: Uint8Array, nonce: Uint8Array): Unframed {
  let tag: Uint8Array | undefined;
  async function* cipher(): AsyncGenerator<Uint8Array> {
    let isLast = false;
    for (;;) {
      const [tagOctet, first] = await source.exactly(2);
      if (tagOctet === 0 && first === 0) break;
      if (tagOctet !== 0x04 || isLast) throw malformed("an OCTET STRING of one segment expected");
      const length = await lengthFrom(source, first ?? 0);
      if (length === 0 || length > segmentBytes) throw malformed("a segment that is empty or over one mebibyte");
      isLast = length < segmentBytes;
      yield* source.upTo(length);
    }
    const rest = await source.exactly(tailBytes - 2);
    const expected = tailOf(rest.subarray(4, 20)).subarray(2);
    if (!Buffer.from(expected).equals(rest)) throw malformed("the tail is not a tag of 16 octets and three ends");
    await source.end();
    tag = rest.subarray(4, 20);
  }
  return { head, nonce, cipher: cipher(), tag: () => tag };
}

/** The key of a part; 40 octets unwrap to exactly 32. */
export function unwrapPart(wrapped: Uint8Array, oneTimeKey: Uint8Array, id: string): Uint8Array {
  try {
    const decipher = createDecipheriv("id-aes256-wrap", envelopeKey(oneTimeKey, id, "wrap"), wrapIv);
    return Buffer.concat([decipher.update(wrapped), decipher.final()]);
  } catch (cause) {
    throw new Fault("ENVELOPE_NOT_OPENED", "part: its key does not unwrap", { cause });
  }
}

async function definite(source: Puller, tagOctet: number, limit: number): Promise<Uint8Array> {
  const [found, first] = await source.exactly(2);
  if (found !== tagOctet) throw malformed("SET of RecipientInfos expected");
  const length = await lengthFrom(source, first ?? 0);
  if (length === 0 || length > limit) throw malformed(`RecipientInfos of ${length} octets`);
  return await source.exactly(length);
}

async function lengthFrom(source: Puller, first: number): Promise<number> {
  if (first < 0x80) return first;
  const count = first & 0x7f;
  if (count === 0 || count > 4) throw malformed("an indefinite or giant length where none is due");
  const octets = await source.exactly(count);
  const length = octets.reduce((value, octet) => value * 256 + octet, 0);
  if (length < 0x80 || length < 256 ** (count - 1)) throw malformed("a length that is not minimal");
  return length;
}

type Puller = {
  exactly(count: number): Promise<Uint8Array>;
  upTo(count: number): AsyncGenerator<Uint8Array>;
  /** Nothing may follow. */
  end(): Promise<void>;
};

/** Takes counted octets from a stream. */
function puller(stream: AsyncIterable<Uint8Array>): Puller {
  const iterator = stream[Symbol.asyncIterator]();
  let chunk: Uint8Array = new Uint8Array();
  const fill = async (): Promise<boolean> => {
    while (chunk.length === 0) {
      const next = await iterator.next();
      if (next.done === true) return false;
      chunk = next.value;
    }
    return true;
  };
  const take = (count: number): Uint8Array => {
    const taken = chunk.subarray(0, count);
    chunk = chunk.subarray(taken.length);
    return taken;
  };
  return {
    exactly: async (count) => {
      const pieces: Uint8Array[] = [];
      for (let left = count; left > 0; ) {
        if (!(await fill())) throw malformed("the part is truncated");
        const piece = take(left);
        pieces.push(piece);
        left -= piece.length;
      }
      return pieces.length === 1 && pieces[0] ? pieces[0] : Buffer.concat(pieces, count);
    },
    upTo: async function* (count) {
      for (let left = count; left > 0; ) {
        if (!(await fill())) throw malformed("the part is truncated");
        const piece = take(left);
        left -= piece.length;
        yield piece;
      }
    },
    end: async () => {
      if (await fill()) throw malformed("octets after the end of the part");
    },
  };
}
