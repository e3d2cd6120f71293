/** DER: small writer functions, and a strict reader with named limits (X.690 clause 10: definite, minimal, primitive strings). */
import { Fault } from "../../errors.ts";

const maxDepth = 16;
/** No structure that is read whole is larger than this: certificates, CRLs, SignedData. */
const maxBytes = 16 * 1024 * 1024;
const maxElements = 200_000;
/** Of one OBJECT IDENTIFIER; a UUID below 2.25 takes 20. Arcs have no size of their own, and the work grows with its square. */
const maxOidBytes = 256;

export const tag = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  enumerated: 0x0a,
  utf8String: 0x0c,
  printableString: 0x13,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** Context-specific tag: constructed unless said. */
export const context = (number: number, isConstructed = true): number => (isConstructed ? 0xa0 : 0x80) | number;

// ---------------------------------------------------------------- writing

/** Length octets (X.690 8.1.3). */
export function lengthOctets(length: number): Uint8Array {
  const octets = new Uint8Array(lengthSize(length));
  writeLength(octets, 0, length);
  return octets;
}

function lengthSize(length: number): number {
  let size = 1;
  if (length >= 0x80) for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) size += 1;
  return size;
}

/** Returns where the content begins. */
function writeLength(octets: Uint8Array, at: number, length: number): number {
  const end = at + lengthSize(length);
  octets[at] = length < 0x80 ? length : 0x80 | (end - at - 1);
  for (let [place, rest] = [end - 1, length]; place > at; place -= 1, rest = Math.floor(rest / 256))
    octets[place] = rest % 256;
  return end;
}

/** Written in one piece: structures are made of hundreds of these. */
export function tlv(tagOctet: number, ...contents: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const content of contents) length += content.length;
  const octets = Buffer.allocUnsafe(1 + lengthSize(length) + length);
  octets[0] = tagOctet;
  let at = writeLength(octets, 1, length);
  for (const content of contents) {
    octets.set(content, at);
    at += content.length;
  }
  return octets;
}

export const sequence = (...contents: readonly Uint8Array[]): Uint8Array => tlv(tag.sequence, ...contents);
/** DER SET OF: components in ascending order of their encodings (X.690 11.6). */
export const setOf = (...contents: readonly Uint8Array[]): Uint8Array =>
  tlv(tag.set, ...[...contents].sort(Buffer.compare));
export const octetString = (bytes: Uint8Array): Uint8Array => tlv(tag.octetString, bytes);
export const nothing: Uint8Array = Uint8Array.of(tag.null, 0);
export const boolean = (value: boolean): Uint8Array => Uint8Array.of(tag.boolean, 1, value ? 0xff : 0);
export const utf8 = (value: string): Uint8Array => tlv(tag.utf8String, Buffer.from(value, "utf8"));

/** A non-negative INTEGER from a number or big-endian octets. */
export function integer(value: number | Uint8Array): Uint8Array {
  const hex = typeof value === "number" ? value.toString(16) : "";
  let octets =
    typeof value === "number" ? Buffer.from(hex.length % 2 === 1 ? `0${hex}` : hex, "hex") : Buffer.from(value);
  let zeros = 0;
  while (zeros < octets.length - 1 && octets[zeros] === 0) zeros += 1;
  octets = octets.subarray(zeros);
  return tlv(tag.integer, ((octets[0] ?? 0) & 0x80) !== 0 ? Buffer.concat([Uint8Array.of(0), octets]) : octets);
}

export const bitString = (bytes: Uint8Array, unusedBits = 0): Uint8Array =>
  tlv(tag.bitString, Uint8Array.of(unusedBits), bytes);

const maxKnownOids = 256;
const knownOids = new Map<string, Uint8Array>();

/** Arcs of any size: the 2.25 arcs do not fit a number. The same few are written again and again. */
export function oid(dotted: string): Uint8Array {
  const known = knownOids.get(dotted) ?? encodedOid(dotted);
  if (knownOids.size < maxKnownOids) knownOids.set(dotted, known);
  return known;
}

function encodedOid(dotted: string): Uint8Array {
  const [first = 0n, second = 0n, ...rest] = dotted.split(".").map(BigInt);
  const octets: number[] = [];
  for (const arc of [first * 40n + second, ...rest]) {
    const base128 = [Number(arc & 0x7fn)];
    for (let left = arc >> 7n; left > 0n; left >>= 7n) base128.unshift(Number(left & 0x7fn) | 0x80);
    octets.push(...base128);
  }
  return tlv(tag.oid, Uint8Array.from(octets));
}

/** RFC 5280 4.1.2.5: UTCTime through 2049, GeneralizedTime after. */
export function time(at: Date): Uint8Array {
  const digits = at.toISOString().replaceAll(/[-:T]|\.\d+/g, "");
  return at.getUTCFullYear() < 2050
    ? tlv(tag.utcTime, Buffer.from(digits.slice(2)))
    : tlv(tag.generalizedTime, Buffer.from(digits));
}

// ---------------------------------------------------------------- reading

export type Element = {
  readonly tag: number;
  /** Content octets. */
  readonly content: Uint8Array;
  /** Tag, length and content as they stand. */
  readonly raw: Uint8Array;
};

const malformed = (what: string): Fault => new Fault("ENVELOPE_MALFORMED", `DER: ${what}`);

/** The one element that these octets are, its whole tree checked; trailing octets and another tag than `wanted` are refused. */
export function read(bytes: Uint8Array, wanted?: number): Element {
  if (bytes.length > maxBytes) throw malformed(`more than ${maxBytes} octets`);
  const { element, end } = readAt(bytes, 0);
  if (end !== bytes.length) throw malformed("trailing octets");
  if (wanted !== undefined && element.tag !== wanted) throw malformed("another tag than expected");
  check(bytes, 0, end, 0, { left: maxElements });
  return element;
}

/** The elements between these two places, and all inside them: nothing is made of them here, since few are ever asked for. */
function check(bytes: Uint8Array, start: number, end: number, depth: number, budget: { left: number }): void {
  if (depth > maxDepth) throw malformed(`nested deeper than ${maxDepth}`);
  for (let at = start; at < end; ) {
    budget.left -= 1;
    if (budget.left < 0) throw malformed(`more than ${maxElements} elements`);
    const content = contentAt(bytes, at, end);
    const next = content + lengthAt(bytes, at, content);
    if (next > end) throw malformed("truncated");
    if (((bytes[at] ?? 0) & 0x20) !== 0) check(bytes, content, next, depth + 1, budget);
    at = next;
  }
}

/** The elements inside a constructed element, in order. */
export function children(element: Element): readonly Element[] {
  const found: Element[] = [];
  for (let at = 0; at < element.content.length; ) {
    const { element: child, end } = readAt(element.content, at);
    found.push(child);
    at = end;
  }
  return found;
}

function readAt(bytes: Uint8Array, start: number): { readonly element: Element; readonly end: number } {
  const at = contentAt(bytes, start, bytes.length);
  const end = at + lengthAt(bytes, start, at);
  if (end > bytes.length) throw malformed("truncated");
  const element = { tag: bytes[start] ?? 0, content: bytes.subarray(at, end), raw: bytes.subarray(start, end) };
  return { element, end };
}

/** Where the content of the element begins that stands here. */
function contentAt(bytes: Uint8Array, start: number, limit: number): number {
  if (start + 2 > limit) throw malformed("truncated");
  if (((bytes[start] ?? 0) & 0x1f) === 0x1f) throw malformed("tag number over 30");
  const first = bytes[start + 1] ?? 0;
  if (first === 0x80) throw malformed("indefinite length");
  const count = first < 0x80 ? 0 : first & 0x7f;
  if (count > 4) throw malformed("length of more than four octets");
  if (start + 2 + count > limit) throw malformed("truncated");
  return start + 2 + count;
}

/** Octets of that content. */
function lengthAt(bytes: Uint8Array, start: number, content: number): number {
  const count = content - start - 2;
  if (count === 0) return bytes[start + 1] ?? 0;
  let length = 0;
  for (let at = start + 2; at < content; at += 1) length = length * 256 + (bytes[at] ?? 0);
  if (length < 0x80 || length < 256 ** (count - 1)) throw malformed("length not minimal");
  return length;
}

/** Takes elements one after the other and refuses what does not come as expected. */
export type Cursor = {
  /** The next element, which must have this tag. */
  take(tagOctet: number, what: string): Element;
  /** The next element if it has this tag. */
  maybe(tagOctet: number): Element | undefined;
  peek(): Element | undefined;
  /** Nothing may be left. */
  end(what: string): void;
};

export function cursor(element: Element): Cursor {
  const all = children(element);
  let at = 0;
  return {
    take: (wanted, what) => {
      const next = all[at];
      if (next?.tag !== wanted) throw malformed(`${what} expected`);
      at += 1;
      return next;
    },
    maybe: (wanted) => {
      const next = all[at];
      if (next?.tag !== wanted) return undefined;
      at += 1;
      return next;
    },
    peek: () => all[at],
    end: (what) => {
      if (at !== all.length) throw malformed(`more in ${what} than belongs there`);
    },
  };
}

const knownDotted = new Map<string, string>();

/** Dotted form of an OBJECT IDENTIFIER; base-128 digits must be minimal. The same few are read again and again. */
export function oidOf(element: Element): string {
  if (element.tag !== tag.oid || element.content.length === 0) throw malformed("OBJECT IDENTIFIER expected");
  if (element.content.length > maxOidBytes) throw malformed(`OBJECT IDENTIFIER over ${maxOidBytes} octets`);
  const { buffer, byteOffset, length } = element.content;
  const octets = Buffer.from(buffer, byteOffset, length).toString("latin1");
  const known = knownDotted.get(octets) ?? decodedOid(element);
  if (knownDotted.size < maxKnownOids) knownDotted.set(octets, known);
  return known;
}

function decodedOid(element: Element): string {
  const arcs: bigint[] = [];
  let arc = 0n;
  let isFresh = true;
  for (const octet of element.content) {
    if (isFresh && octet === 0x80) throw malformed("OBJECT IDENTIFIER not minimal");
    arc = (arc << 7n) | BigInt(octet & 0x7f);
    isFresh = (octet & 0x80) === 0;
    if (!isFresh) continue;
    arcs.push(arc);
    arc = 0n;
  }
  if (!isFresh) throw malformed("OBJECT IDENTIFIER truncated");
  const [first = 0n, ...rest] = arcs;
  const root = first < 40n ? 0n : first < 80n ? 1n : 2n;
  return [root, first - root * 40n, ...rest].join(".");
}

/** A small non-negative INTEGER. */
export function numberOf(element: Element): number {
  const { content } = element;
  if (content.length === 0 || content.length > 5 || ((content[0] ?? 0) & 0x80) !== 0)
    throw malformed("small INTEGER expected");
  if (content.length > 1 && content[0] === 0 && ((content[1] ?? 0) & 0x80) === 0)
    throw malformed("INTEGER not minimal");
  return content.reduce((value, octet) => value * 256 + octet, 0);
}

/** BOOLEAN in DER is 00 or FF. */
export function booleanOf(element: Element): boolean {
  const [octet] = element.content;
  if (element.content.length !== 1 || (octet !== 0 && octet !== 0xff)) throw malformed("BOOLEAN expected");
  return octet === 0xff;
}

/** The octets of a BIT STRING that is whole octets. */
export function bitsOf(element: Element): Uint8Array {
  if (element.content[0] !== 0) throw malformed("BIT STRING of whole octets expected");
  return element.content.subarray(1);
}

/** UTCTime or GeneralizedTime in the form RFC 5280 4.1.2.5 prescribes: to the second, in Z. */
export function timeOf(element: Element): Date {
  const digits = Buffer.from(element.content).toString("latin1");
  const [, year = "", rest = ""] =
    (element.tag === tag.utcTime ? /^(\d\d)(\d{10})Z$/ : /^(\d{4})(\d{10})Z$/).exec(digits) ?? [];
  if (!rest) throw malformed("time expected as YYMMDDHHMMSSZ or YYYYMMDDHHMMSSZ");
  const full = element.tag === tag.utcTime ? (Number(year) < 50 ? `20${year}` : `19${year}`) : year;
  const [month, day, hour, minute, second] = rest.match(/../g) ?? [];
  const at = new Date(`${full}-${month}-${day}T${hour}:${minute}:${second}Z`);
  if (Number.isNaN(at.getTime())) throw malformed("time that does not exist");
  return at;
}
