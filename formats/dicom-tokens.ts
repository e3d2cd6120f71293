/**
 * The DICOM data set grammar (PS3.5 7) as a coroutine: it reads what is at hand, and says how many octets it needs, or may be
 * skipped, where they have not all come. Sequences are walked, whether their length is defined or not; values over a small
 * limit are skipped.
 */
import { Fault } from "../errors.ts";

/** Values that were kept, by tag (group << 16 | element). */
export type Values = ReadonlyMap<number, Uint8Array>;
/** `mayEnd`: the data set may end here, before the first of these octets. */
export type Need = {
  readonly kind: "take" | "skip";
  readonly count: number;
  readonly mayEnd: boolean;
  readonly values: Values;
};

/** Octets in order; `begins` where they are the tag of a top-level element, whole. */
export type Sink = (octets: Buffer, begins: boolean) => void;
/** What is at hand: octets from a place on, of which the tokenizer takes what it wants, and tells the sink. */
export type Feed = { octets: Buffer; at: number; readonly sink: Sink | undefined };

/** What is noticed on the way, for whoever wants to know. */
export type Notes = {
  /** Length of every element of the top level, by tag; those of undefined length count as one. */
  readonly lengths: Map<number, number>;
  /** Elements whose length their value representation does not allow (PS3.5 6.2), the first few. */
  readonly unfit: number[];
};
const maxLengths = 4096;
const maxUnfit = 16;
/** Octets of one value, where all are of one size (PS3.5 table 6.2-1); any other length is even. */
const valueBytes: Readonly<Record<string, number>> = {
  AT: 4,
  FD: 8,
  FL: 4,
  OD: 8,
  OF: 4,
  OL: 4,
  OV: 8,
  SL: 4,
  SV: 8,
  UL: 4,
};

const kept = new Set([
  0x00080005, 0x00080016, 0x00080018, 0x00080020, 0x00080050, 0x00080060, 0x00080080, 0x00080090, 0x00081010,
  0x00081030, 0x0008103e, 0x00081040, 0x00081050, 0x00100010, 0x00100021, 0x00100020, 0x00100030, 0x00100040,
  0x0020000d, 0x0020000e, 0x00200011, 0x00200013, 0x00280008,
]);
const maxKeptBytes = 1024;
const maxDepth = 64;
const maxElements = 5_000_000;
const undefinedLength = 0xffff_ffff;
const [item, itemEnd, sequenceEnd] = [0xfffee000, 0xfffee00d, 0xfffee0dd];
const pixelData = 0x7fe00010;
const trailingPadding = 0xfffcfffc;

/** The second is GE's own: of it the pixels alone are big endian. */
const implicitLittle: ReadonlySet<string> = new Set(["1.2.840.10008.1.2", "1.2.840.113619.5.2"]);
const explicitBig = "1.2.840.10008.1.2.2";
const shortVrs = [
  "AE",
  "AS",
  "AT",
  "CS",
  "DA",
  "DS",
  "DT",
  "FD",
  "FL",
  "IS",
  "LO",
  "LT",
  "PN",
  "SH",
  "SL",
  "SS",
  "ST",
  "TM",
  "UI",
  "UL",
  "US",
];
/** Two reserved octets and a length of four (PS3.5 7.1.2). */
export const longVrs: ReadonlySet<string> = new Set([
  "OB",
  "OD",
  "OF",
  "OL",
  "OV",
  "OW",
  "SQ",
  "SV",
  "UC",
  "UN",
  "UR",
  "UT",
  "UV",
]);

/** By their two octets as a number, which takes no text to be made of them. */
const vrs: ReadonlyMap<number, { readonly vr: string; readonly isLong: boolean }> = new Map(
  [...shortVrs, ...longVrs].map((vr) => [Buffer.from(vr).readUInt16BE(0), { vr, isLong: longVrs.has(vr) }]),
);

/** What modalities write as a number, decimals and commas included; letters are none (PS3.5 6.2 IS). */
const integerString = /^[0-9 +\-.,eE\\\0]*$/;

const invalid = (what: string, tag?: number): Fault =>
  new Fault("DICOM_INVALID", tag === undefined ? what : `${what} at (${hex(tag >>> 16)},${hex(tag & 0xffff)})`);
const hex = (value: number): string => value.toString(16).padStart(4, "0");

/** How elements are written (PS3.5 Annex A). */
export type Encoding = { readonly isExplicit: boolean; readonly isBig: boolean };
type Context = {
  readonly values: Map<number, Uint8Array>;
  readonly notes: Notes | undefined;
  readonly feed: Feed;
  /** Where the octets are that were taken last. */
  bytes: Buffer;
  elements: number;
  offset: number;
};
type Tokens<T> = Generator<Need, T, Buffer>;

export const encodingOf = (transferSyntaxUid: string): Encoding => ({
  isExplicit: !implicitLittle.has(transferSyntaxUid),
  isBig: transferSyntaxUid === explicitBig,
});

/** Walks one data set; never returns of itself: the stream's end is the end. Between two needs it empties the feed. */
export function* tokenize(transferSyntaxUid: string, feed: Feed, notes?: Notes): Tokens<Values> {
  const encoding = encodingOf(transferSyntaxUid);
  const context: Context = { values: new Map(), notes, feed, bytes: feed.octets, elements: 0, offset: 0 };
  let last = -1;
  for (;;) {
    let at = taken(context, 4, true);
    if (at < 0) at = yield* awaited(context, 4, true);
    const tag = tagOf(context.bytes, encoding, at);
    if (tag <= last) throw invalid("elements out of order", tag);
    if (tag >>> 16 === 0xfffe || (tag >>> 16 < 0x0008 && tag >>> 16 !== 0))
      throw invalid("an element that does not belong in a data set", tag);
    last = tag;
    yield* element(context, tag, encoding, 0, true);
  }
}

function* element(context: Context, tag: number, encoding: Encoding, depth: number, isTop: boolean): Tokens<void> {
  context.elements += 1;
  if (context.elements > maxElements) throw invalid(`more than ${maxElements} elements`);
  if (depth > maxDepth) throw invalid(`sequences nested deeper than ${maxDepth}`);
  const { isExplicit, isBig } = encoding;
  let at = taken(context, 4);
  if (at < 0) at = yield* awaited(context, 4);
  let vr = "";
  let length = 0;
  if (isExplicit) {
    const known = vrs.get(context.bytes.readUInt16BE(at));
    if (!known) throw invalid("an unknown value representation", tag);
    vr = known.vr;
    if (known.isLong) {
      at = taken(context, 4);
      if (at < 0) at = yield* awaited(context, 4);
      length = longOf(context.bytes, encoding, at);
    } else length = isBig ? context.bytes.readUInt16BE(at + 2) : context.bytes.readUInt16LE(at + 2);
  } else length = longOf(context.bytes, encoding, at);
  if (context.notes) note(context.notes, tag, vr, length, isTop);
  if (length === undefinedLength) {
    const isFragments = tag === pixelData && vr !== "SQ";
    if (isExplicit && !isFragments && vr !== "SQ" && vr !== "UN") throw invalid(`undefined length of a ${vr}`, tag);
    if (isFragments) return yield* fragments(context, tag, encoding);
    // A sequence of unknown VR is written in implicit little endian (PS3.5 6.2.2 note 2).
    return yield* items(context, tag, vr === "UN" ? { isExplicit: false, isBig: false } : encoding, depth + 1);
  }
  if (vr === "SQ") return yield* items(context, tag, encoding, depth + 1, context.offset + length);
  const isKept = isTop && kept.has(tag) && length <= maxKeptBytes;
  if (isKept || vr === "IS") {
    at = taken(context, length);
    if (at < 0) at = yield* awaited(context, length);
    const { bytes } = context;
    if (vr === "IS" && !integerString.test(bytes.toString("latin1", at, at + length)))
      throw invalid("an integer string that is no number", tag);
    if (isKept) context.values.set(tag, Uint8Array.from(bytes.subarray(at, at + length)));
  } else {
    const left = skipped(context, length);
    // Only padding of which nothing has come may be missing.
    if (left > 0) yield* missing(context, left, isTop && tag === trailingPadding && left === length);
  }
}

function note({ lengths, unfit }: Notes, tag: number, vr: string, length: number, isTop: boolean): void {
  const isUndefined = length === undefinedLength;
  if (isTop && lengths.size < maxLengths) lengths.set(tag, isUndefined ? 1 : length);
  if (!isUndefined && length % (valueBytes[vr] ?? 2) !== 0 && unfit.length < maxUnfit) unfit.push(tag);
}

/** Items of a sequence: up to its delimiter, or up to `end` where its length is defined. */
function* items(
  context: Context,
  tag: number,
  encoding: Encoding,
  depth: number,
  end = Number.POSITIVE_INFINITY,
): Tokens<void> {
  while (context.offset < end) {
    const { marker, length } = yield* markerOf(context, encoding);
    if (marker === sequenceEnd && length === 0 && end === Number.POSITIVE_INFINITY) return;
    if (marker !== item) throw invalid("an item expected in a sequence", tag);
    yield* itemContent(
      context,
      tag,
      encoding,
      depth,
      length === undefinedLength ? Number.POSITIVE_INFINITY : context.offset + length,
    );
  }
  if (context.offset !== end) throw invalid("items longer than their sequence", tag);
}

function* itemContent(context: Context, tag: number, encoding: Encoding, depth: number, end: number): Tokens<void> {
  while (context.offset < end) {
    let at = taken(context, 4);
    if (at < 0) at = yield* awaited(context, 4);
    const inner = tagOf(context.bytes, encoding, at);
    if (inner === itemEnd && end === Number.POSITIVE_INFINITY) {
      if (taken(context, 4) < 0) yield* awaited(context, 4);
      return;
    }
    if (inner >>> 16 === 0xfffe) throw invalid("a delimiter in the wrong place", tag);
    yield* element(context, inner, encoding, depth, false);
  }
  if (context.offset !== end) throw invalid("elements longer than their item", tag);
}

/** Encapsulated pixel data (PS3.5 A.4): items of defined length, up to the delimiter. */
function* fragments(context: Context, tag: number, encoding: Encoding): Tokens<void> {
  for (;;) {
    const { marker, length } = yield* markerOf(context, encoding);
    if (marker === sequenceEnd) return;
    if (marker !== item || length === undefinedLength) throw invalid("a fragment expected", tag);
    const left = skipped(context, length);
    if (left > 0) yield* missing(context, left, false);
  }
}

function* markerOf(context: Context, encoding: Encoding): Tokens<{ readonly marker: number; readonly length: number }> {
  let at = taken(context, 8);
  if (at < 0) at = yield* awaited(context, 8);
  return { marker: tagOf(context.bytes, encoding, at), length: longOf(context.bytes, encoding, at + 4) };
}

/** Unsigned, so that tags compare as the standard orders them. */
export const tagOf = (bytes: Buffer, { isBig }: Encoding, at = 0): number =>
  isBig
    ? bytes.readUInt16BE(at) * 65_536 + bytes.readUInt16BE(at + 2)
    : bytes.readUInt16LE(at) * 65_536 + bytes.readUInt16LE(at + 2);

const longOf = (bytes: Buffer, { isBig }: Encoding, at: number): number =>
  isBig ? bytes.readUInt32BE(at) : bytes.readUInt32LE(at);

/** Where in `bytes` the next octets are; negative where they have not all come, and are to be awaited. */
function taken(context: Context, count: number, mayEnd = false): number {
  const { feed } = context;
  const { octets, at } = feed;
  if (count > octets.length - at) return -1;
  feed.at += count;
  context.offset += count;
  context.bytes = octets;
  if (count > 0) feed.sink?.(octets.subarray(at, at + count), mayEnd);
  return at;
}

function* awaited(context: Context, count: number, mayEnd = false): Tokens<number> {
  context.bytes = yield { kind: "take", count, mayEnd, values: context.values };
  context.offset += count;
  return 0;
}

/** Octets that are missing of those to be skipped. */
function skipped(context: Context, count: number): number {
  const { feed } = context;
  const piece = feed.octets.subarray(feed.at, feed.at + count);
  if (piece.length > 0) feed.sink?.(piece, false);
  feed.at += piece.length;
  context.offset += piece.length;
  return count - piece.length;
}

function* missing(context: Context, count: number, mayEnd: boolean): Tokens<void> {
  context.offset += count;
  yield { kind: "skip", count, mayEnd, values: context.values };
}
