/**
 * The DICOM data set grammar (PS3.5 7) as a coroutine: it says how many octets it needs next, or may be skipped, and is
 * given them. Sequences are walked, whether their length is defined or not; values over a small limit are skipped.
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

const implicitLittle = "1.2.840.10008.1.2";
const explicitBig = "1.2.840.10008.1.2.2";
const shortVrs = new Set([
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
]);
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
  elements: number;
  offset: number;
};
type Tokens<T> = Generator<Need, T, Buffer>;

export const encodingOf = (transferSyntaxUid: string): Encoding => ({
  isExplicit: transferSyntaxUid !== implicitLittle,
  isBig: transferSyntaxUid === explicitBig,
});

/** Walks one data set; never returns of itself: the stream's end is the end. */
export function* tokenize(transferSyntaxUid: string, notes?: Notes): Tokens<Values> {
  const encoding = encodingOf(transferSyntaxUid);
  const context: Context = { values: new Map(), notes, elements: 0, offset: 0 };
  let last = -1;
  for (;;) {
    const tag = tagOf(yield* take(context, 4, true), encoding);
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
  const { vr, length } = yield* lengthOf(context, tag, encoding);
  if (context.notes) note(context.notes, tag, vr, length, isTop);
  if (length === undefinedLength) {
    const isFragments = tag === pixelData && vr !== "SQ";
    if (encoding.isExplicit && !isFragments && vr !== "SQ" && vr !== "UN")
      throw invalid(`undefined length of a ${vr}`, tag);
    if (isFragments) return yield* fragments(context, tag, encoding);
    // A sequence of unknown VR is written in implicit little endian (PS3.5 6.2.2 note 2).
    return yield* items(context, tag, vr === "UN" ? { isExplicit: false, isBig: false } : encoding, depth + 1);
  }
  if (vr === "SQ") return yield* items(context, tag, encoding, depth + 1, context.offset + length);
  const isKept = isTop && kept.has(tag) && length <= maxKeptBytes;
  if (isKept || vr === "IS") {
    const value = yield* take(context, length);
    if (vr === "IS" && !integerString.test(value.toString("latin1")))
      throw invalid("an integer string that is no number", tag);
    if (isKept) context.values.set(tag, Uint8Array.from(value));
  } else yield* skip(context, length, isTop && tag === trailingPadding);
}

function note({ lengths, unfit }: Notes, tag: number, vr: string, length: number, isTop: boolean): void {
  const isUndefined = length === undefinedLength;
  if (isTop && lengths.size < maxLengths) lengths.set(tag, isUndefined ? 1 : length);
  if (!isUndefined && length % (valueBytes[vr] ?? 2) !== 0 && unfit.length < maxUnfit) unfit.push(tag);
}

function* lengthOf(
  context: Context,
  tag: number,
  { isExplicit, isBig }: Encoding,
): Tokens<{ readonly vr: string; readonly length: number }> {
  if (!isExplicit) return { vr: "", length: (yield* take(context, 4)).readUInt32LE(0) };
  const head = yield* take(context, 4);
  const vr = head.toString("latin1", 0, 2);
  if (shortVrs.has(vr)) return { vr, length: isBig ? head.readUInt16BE(2) : head.readUInt16LE(2) };
  if (!longVrs.has(vr)) throw invalid("an unknown value representation", tag);
  const length = yield* take(context, 4);
  return { vr, length: isBig ? length.readUInt32BE(0) : length.readUInt32LE(0) };
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
    const inner = tagOf(yield* take(context, 4), encoding);
    if (inner === itemEnd && end === Number.POSITIVE_INFINITY) {
      yield* take(context, 4);
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
    yield* skip(context, length);
  }
}

function* markerOf(context: Context, encoding: Encoding): Tokens<{ readonly marker: number; readonly length: number }> {
  const head = yield* take(context, 8);
  return { marker: tagOf(head, encoding), length: encoding.isBig ? head.readUInt32BE(4) : head.readUInt32LE(4) };
}

/** Unsigned, so that tags compare as the standard orders them. */
export const tagOf = (bytes: Buffer, { isBig }: Encoding): number =>
  isBig
    ? bytes.readUInt16BE(0) * 65_536 + bytes.readUInt16BE(2)
    : bytes.readUInt16LE(0) * 65_536 + bytes.readUInt16LE(2);

function* take(context: Context, count: number, mayEnd = false): Tokens<Buffer> {
  context.offset += count;
  return count === 0 ? Buffer.alloc(0) : yield { kind: "take", count, mayEnd, values: context.values };
}

function* skip(context: Context, count: number, mayEnd = false): Tokens<void> {
  context.offset += count;
  if (count > 0) yield { kind: "skip", count, mayEnd, values: context.values };
}
