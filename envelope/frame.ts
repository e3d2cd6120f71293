/**
 * The CMS frame of a part: AuthEnvelopedData (RFC 5083) with AES-256-GCM (RFC 5084) in indefinite-length BER. The head is
 * 151 octets of which only the key identifier, the wrapped key and the nonce vary; OCTET STRINGs of one segment each hold
 * the ciphertext; the tail holds the tag. The reader compares everything else octet by octet.
 */
import { Fault } from "../errors.ts";
import { elements, malformed, puller, type Taker, taker } from "./cms/ber.ts";
import { lengthOctets } from "./cms/der.ts";
import { envelopeKey, type PartFacts, segmentBytes } from "./part.ts";
import { unwrapKey, wrapKey } from "./primitives.ts";

const hex = (digits: string): Buffer => Buffer.from(digits.replaceAll(" ", ""), "hex");

/** ContentInfo { id-ct-authEnvelopedData, [0] AuthEnvelopedData { version 0, … */
const before = hex("3080 060b2a864886f70d0109100117 a080 3080 020100");
/** … [2] KEKRecipientInfo { version 4, kekid { OCTET STRING of 16 … */
const kekBefore = hex("a24e 020104 3012 0410");
/** … id-aes256-wrap without parameters, OCTET STRING of 40 … (RFC 3565 2.3.2) */
const kekAfter = hex("300b 0609 60864801650304012d 0428");
/** … EncryptedContentInfo { id-data, aes256-GCM { nonce of 12 … */
const nonceBefore = hex("3080 0609 2a864886f70d010701 301e 0609 60864801650304012e 3011 040c");
/** … ICVlen 16 }, [0] … */
const nonceAfter = hex("020110 a080");
const endOfContent = hex("0000 0000 0410");
const endOfPart = hex("0000 0000 0000");

const kekIdBytes = 16;
const wrappedBytes = 40;
const nonceBytes = 12;
const tagBytes = 16;
const tagOf = { set: 0x31, octetString: 0x04, endOfContents: 0x00 } as const;
/** Up to the key identifier all parts of all envelopes are the same. */
const partBefore = Buffer.concat([
  before,
  Uint8Array.of(tagOf.set, kekBefore.length + kekIdBytes + kekAfter.length + wrappedBytes),
  kekBefore,
]);
const maxRecipientsBytes = 256 * 1024;
const maxRecipients = 64;

// ---------------------------------------------------------------- writing

/** What stands before the ciphertext. */
const headOf = (recipients: Uint8Array, nonce: Uint8Array): Uint8Array =>
  Buffer.concat([
    before,
    Uint8Array.of(tagOf.set),
    lengthOctets(recipients.length),
    recipients,
    nonceBefore,
    nonce,
    nonceAfter,
  ]);

/** The head of a part of this envelope: its key under the envelope's key-encryption key. */
export function partHead({ cek, nonce }: PartFacts, oneTimeKey: Uint8Array, id: string): Uint8Array {
  const wrapped = wrapKey(envelopeKey(oneTimeKey, id, "wrap"), cek);
  return headOf(Buffer.concat([kekBefore, hex(id), kekAfter, wrapped]), nonce);
}

/** The head of part 4: the recipients' own RecipientInfos, in the order of `to` (a SET OF in BER has no order of its own). */
export const keyHead = (recipients: readonly Uint8Array[], nonce: Uint8Array): Uint8Array =>
  headOf(Buffer.concat(recipients), nonce);

/** Octets of a whole part on the wire, for a ciphertext of this size under a head of this length. */
export const framedLength = (size: number, headBytes: number): number =>
  headBytes + segmentsLength(size) + endOfContent.length + tagBytes + endOfPart.length;

/** Octets of this many octets as OCTET STRINGs of one segment each. */
export function segmentsLength(size: number): number {
  const rest = size % segmentBytes;
  const segment = (length: number): number => 1 + lengthOctets(length).length + length;
  return Math.floor(size / segmentBytes) * segment(segmentBytes) + (rest > 0 ? segment(rest) : 0);
}

/** Head, ciphertext, tail; `tag` may be known only once the ciphertext has ended. STORE_DAMAGED as `segments`. */
export async function* framed(
  head: Uint8Array,
  cipher: AsyncIterable<Uint8Array>,
  size: number,
  tag: Uint8Array | (() => Uint8Array),
): AsyncGenerator<Uint8Array> {
  yield head;
  yield* segments(cipher, size);
  yield partTail(typeof tag === "function" ? tag() : tag);
}

/** The same of octets that are at hand, one segment at most: the pieces of the whole part. */
export const framedOctets = (head: Uint8Array, octets: Uint8Array, tag: Uint8Array): readonly Uint8Array[] => [
  head,
  Uint8Array.of(tagOf.octetString, ...lengthOctets(octets.length)),
  octets,
  partTail(tag),
];

/** What stands behind the ciphertext. */
export const partTail = (tag: Uint8Array): Uint8Array => Buffer.concat([endOfContent, tag, endOfPart]);

/** Octets as OCTET STRINGs of one segment each; STORE_DAMAGED when they are not of the size that was promised. */
export async function* segments(octets: AsyncIterable<Uint8Array>, size: number): AsyncGenerator<Uint8Array> {
  let sent = 0;
  for await (let chunk of octets) {
    if (sent + chunk.length > size)
      throw new Fault("STORE_DAMAGED", "a part has more octets than its size; restore it from a backup");
    while (chunk.length > 0) {
      const left = segmentBytes - (sent % segmentBytes);
      if (left === segmentBytes)
        yield Uint8Array.of(tagOf.octetString, ...lengthOctets(Math.min(segmentBytes, size - sent)));
      const piece = chunk.subarray(0, left);
      sent += piece.length;
      chunk = chunk.subarray(piece.length);
      yield piece;
    }
  }
  if (sent !== size)
    throw new Fault("STORE_DAMAGED", "a part has fewer octets than its size; restore it from a backup");
}

/** A part as CMS for this envelope: what rests as ciphertext, with head and tail written around it. */
export const partStream = (
  cipher: AsyncIterable<Uint8Array>,
  facts: PartFacts,
  oneTimeKey: Uint8Array,
  id: string,
): AsyncGenerator<Uint8Array> => framed(partHead(facts, oneTimeKey, id), cipher, facts.size, facts.tag);

const headBytes = 151;
/** Behind the end of the segments. */
const tailBytes = endOfContent.length - 2 + tagBytes + endOfPart.length;

/** Octets of CMS for a part of this size. */
export const partLength = (size: number): number => framedLength(size, headBytes);

// ---------------------------------------------------------------- reading

/** A part whose frame is being read: the key it needs, and the ciphertext. */
export type Unframed = {
  readonly cek: Uint8Array;
  readonly nonce: Uint8Array;
  readonly cipher: AsyncIterable<Uint8Array>;
  /** Known once the ciphertext has ended. */
  tag(): Uint8Array | undefined;
};

/** The same of a part that is at hand: its segments. */
export type Held = {
  readonly nonce: Uint8Array;
  readonly segments: readonly Uint8Array[];
  readonly tag: Uint8Array;
};

/** Reads a part of this envelope and unwraps its key. ENVELOPE_NOT_OPENED for a head that is not the template. */
export async function unframe(part: AsyncIterable<Uint8Array>, oneTimeKey: Uint8Array, id: string): Promise<Unframed> {
  const source = puller(part);
  const { wrapped, nonce } = partHeadOf(taker(await source.exactly(headBytes)), id);
  let tag: Uint8Array | undefined;
  async function* cipher(): AsyncGenerator<Uint8Array> {
    for (let isLast = false; ; ) {
      const segment = await source.header();
      if (isEnd(segment)) break;
      isLast = checkSegment(segment, isLast);
      yield* source.streamed(segment.length);
    }
    tag = tagIn(taker(await source.exactly(tailBytes)));
    await source.end();
  }
  return { nonce, cek: keyOf(wrapped, oneTimeKey, id), cipher: cipher(), tag: () => tag };
}

/** The same of octets that are at hand. */
export function unframeHeld(part: Uint8Array, oneTimeKey: Uint8Array, id: string): Held & { readonly cek: Uint8Array } {
  const source = taker(part);
  const { wrapped, nonce } = partHeadOf(source, id);
  return { ...contentOf(source, nonce), cek: keyOf(wrapped, oneTimeKey, id) };
}

/** Reads part 4, whose RecipientInfos stand there one by one, unread. */
export function unframeKey(part: Uint8Array): Held & { readonly recipients: readonly Uint8Array[] } {
  const source = taker(part);
  literally(source, before, "AuthEnvelopedData of version 0");
  const { tag, length } = source.header();
  if (tag !== tagOf.set || length === 0 || length > maxRecipientsBytes) throw malformed("RecipientInfos expected");
  const recipients = elements(source.exactly(length), maxRecipients);
  return { ...contentOf(source, nonceIn(source)), recipients };
}

function literally(source: Taker, expected: Buffer, what: string): void {
  if (!expected.equals(source.exactly(expected.length))) throw malformed(`${what} expected`);
}

function partHeadOf(source: Taker, id: string): { readonly wrapped: Uint8Array; readonly nonce: Uint8Array } {
  literally(source, partBefore, "AuthEnvelopedData of version 0 with one KEKRecipientInfo of version 4");
  literally(source, Buffer.from(id, "hex"), "the envelope's id as key identifier");
  literally(source, kekAfter, "id-aes256-wrap of a key of 32 octets");
  const wrapped = Uint8Array.from(source.exactly(wrappedBytes));
  return { wrapped, nonce: nonceIn(source) };
}

function nonceIn(source: Taker): Uint8Array {
  literally(source, nonceBefore, "id-data under aes256-GCM with a nonce of 12 octets");
  const nonce = Uint8Array.from(source.exactly(nonceBytes));
  literally(source, nonceAfter, "a tag of 16 octets");
  return nonce;
}

function contentOf(source: Taker, nonce: Uint8Array): Held {
  const segments: Uint8Array[] = [];
  for (let isLast = false; ; ) {
    const segment = source.header();
    if (isEnd(segment)) break;
    isLast = checkSegment(segment, isLast);
    segments.push(source.exactly(segment.length));
  }
  const tag = tagIn(source);
  source.end();
  return { nonce, segments, tag };
}

type Header = ReturnType<Taker["header"]>;
const isEnd = ({ tag, length }: Header): boolean => tag === tagOf.endOfContents && length === 0;

/** Whether this segment has to be the last one. */
function checkSegment({ tag, length }: Header, isLast: boolean): boolean {
  if (tag !== tagOf.octetString || isLast) throw malformed("an OCTET STRING of one segment expected");
  if (length === 0 || length > segmentBytes) throw malformed("a segment that is empty or over one mebibyte");
  return length < segmentBytes;
}

function tagIn(source: Taker): Uint8Array {
  literally(source, endOfContent.subarray(2), "a tag of 16 octets");
  const tag = Uint8Array.from(source.exactly(tagBytes));
  literally(source, endOfPart, "the end of the part");
  return tag;
}

/** The part's key; 40 octets unwrap to 32. */
function keyOf(wrapped: Uint8Array, oneTimeKey: Uint8Array, id: string): Uint8Array {
  try {
    return unwrapKey(envelopeKey(oneTimeKey, id, "wrap"), wrapped);
  } catch (cause) {
    throw new Fault("ENVELOPE_NOT_OPENED", "part: its key does not unwrap", { cause });
  }
}
