/** Small data sets of DIMSE-N services (PS3.5 7.1, 7.5), explicit or implicit VR little endian, read and written whole. */
import { Fault } from "../../errors.ts";
import { explicitLittle, implicitLittle } from "./association.ts";

/** Values by tag (group << 16 | element, unsigned); a sequence is its items. */
export type DataSet = ReadonlyMap<number, Uint8Array | readonly DataSet[]>;
export type Vr = "UI" | "US" | "LO" | "SQ";
/** What to write: in the order of the tags. */
export type Elements = readonly (readonly [tag: number, vr: Vr, value: string | number | readonly Elements[]])[];

/** The syntaxes that a context of these services may have. */
export const dataSetSyntaxes = [explicitLittle, implicitLittle] as const;
export const maxDataSetBytes = 16 * 1024 * 1024;
const maxDepth = 4;
const maxElements = 400_000;
/** Each is a data set of its own, however empty: a report about 25,000 instances has as many. */
const maxItems = 60_000;
const undefinedLength = 0xffff_ffff;
const [item, itemEnd, sequenceEnd] = [0xfffee000, 0xfffee00d, 0xfffee0dd];
/** Two reserved octets and a length of four (PS3.5 7.1.2). */
const longVrs = new Set(["OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"]);

const invalid = (what: string): Fault => new Fault("DICOM_INVALID", `a data set of a service: ${what}`);

/** The octets of a data set in one of `dataSetSyntaxes`; sequences and items of defined length. */
export function writeDataSet(elements: Elements, transferSyntax: string): Buffer {
  const isExplicit = transferSyntax !== implicitLittle;
  return Buffer.concat(
    elements.flatMap(([tag, vr, value]) => {
      const content = contentOf(vr, value, transferSyntax);
      const isLong = !isExplicit || vr === "SQ";
      const head = Buffer.alloc(isExplicit && isLong ? 12 : 8);
      head.writeUInt16LE(tag >>> 16, 0);
      head.writeUInt16LE(tag & 0xffff, 2);
      if (isExplicit) head.write(vr, 4, "latin1");
      if (isLong) head.writeUInt32LE(content.length, head.length - 4);
      else head.writeUInt16LE(content.length, 6);
      return [head, content];
    }),
  );
}

function contentOf(vr: Vr, value: string | number | readonly Elements[], transferSyntax: string): Buffer {
  if (typeof value === "number") {
    const bytes = Buffer.alloc(2);
    bytes.writeUInt16LE(value);
    return bytes;
  }
  // UIDs are padded with NUL, other text with a space (PS3.5 6.2).
  if (typeof value === "string")
    return Buffer.from(value.length % 2 === 1 ? value + (vr === "UI" ? "\0" : " ") : value, "latin1");
  return Buffer.concat(
    value.flatMap((elements) => {
      const content = writeDataSet(elements, transferSyntax);
      const head = Buffer.from([0xfe, 0xff, 0x00, 0xe0, 0, 0, 0, 0]);
      head.writeUInt32LE(content.length, 4);
      return [head, content];
    }),
  );
}

type Reader = {
  readonly bytes: Buffer;
  readonly isExplicit: boolean;
  readonly sequences: ReadonlySet<number>;
  at: number;
  elements: number;
  items: number;
};

/**
 * Reads a data set to its last octet. `sequences` names the tags that are sequences where the VR is not written.
 * DICOM_INVALID for another syntax, lengths that do not fit, tags out of order, and over the limits; TOO_LARGE for too many items.
 */
export function readDataSet(bytes: Buffer, transferSyntax: string, sequences: ReadonlySet<number>): DataSet {
  if (transferSyntax !== explicitLittle && transferSyntax !== implicitLittle)
    throw invalid(`transfer syntax ${transferSyntax.slice(0, 64)} is none of its own`);
  if (bytes.length > maxDataSetBytes) throw invalid(`over ${maxDataSetBytes} octets`);
  const isExplicit = transferSyntax === explicitLittle;
  return readElements({ bytes, isExplicit, sequences, at: 0, elements: 0, items: 0 }, bytes.length, 0);
}

/** Elements up to `end`, or up to an item delimiter where the length is undefined. */
function readElements(reader: Reader, end: number | undefined, depth: number): DataSet {
  if (depth > maxDepth) throw invalid(`nested deeper than ${maxDepth}`);
  const found = new Map<number, Uint8Array | readonly DataSet[]>();
  let last = -1;
  while (reader.at !== end) {
    const tag = tagAt(reader, end);
    if (tag === itemEnd && end === undefined) {
      if (number(reader, end) !== 0) throw invalid("a delimiter with a length");
      return found;
    }
    reader.elements += 1;
    if (reader.elements > maxElements) throw invalid(`more than ${maxElements} elements`);
    if (tag <= last || tag >>> 16 === 0xfffe) throw invalid("elements out of order");
    last = tag;
    found.set(tag, valueAt(reader, tag, end, depth));
  }
  return found;
}

function valueAt(reader: Reader, tag: number, end: number | undefined, depth: number): Uint8Array | readonly DataSet[] {
  let [vr, length] = ["", 0];
  if (reader.isExplicit) {
    vr = octets(reader, 2, end).toString("latin1");
    const short = octets(reader, 2, end).readUInt16LE(0);
    if (!/^[A-Z]{2}$/.test(vr)) throw invalid("an unknown value representation");
    length = longVrs.has(vr) ? number(reader, end) : short;
  } else length = number(reader, end);
  const isSequence = vr === "SQ" || length === undefinedLength || (vr === "" && reader.sequences.has(tag));
  if (!isSequence) return octets(reader, length, end);
  if (length === undefinedLength) return readItems(reader, undefined, end, depth);
  return readItems(reader, bounded(reader, length, end), end, depth);
}

function readItems(reader: Reader, end: number | undefined, outer: number | undefined, depth: number): DataSet[] {
  const items: DataSet[] = [];
  while (reader.at !== end) {
    const marker = tagAt(reader, end ?? outer);
    const length = number(reader, end ?? outer);
    if (marker === sequenceEnd && end === undefined && length === 0) return items;
    if (marker !== item) throw invalid("an item expected in a sequence");
    reader.items += 1;
    if (reader.items > maxItems)
      throw new Fault("TOO_LARGE", `a data set of a service with more than ${maxItems} items`);
    const itemEndAt = length === undefinedLength ? undefined : bounded(reader, length, end ?? outer);
    items.push(readElements(reader, itemEndAt, depth + 1));
  }
  return items;
}

/** Where something of this length ends; it must be within what it is part of. */
function bounded(reader: Reader, length: number, end: number | undefined): number {
  const at = reader.at + length;
  if (at > (end ?? reader.bytes.length)) throw invalid("a length beyond what holds it");
  return at;
}

function octets(reader: Reader, count: number, end: number | undefined): Buffer {
  const to = bounded(reader, count, end);
  const bytes = reader.bytes.subarray(reader.at, to);
  reader.at = to;
  return bytes;
}
const number = (reader: Reader, end: number | undefined): number => octets(reader, 4, end).readUInt32LE(0);
function tagAt(reader: Reader, end: number | undefined): number {
  const bytes = octets(reader, 4, end);
  return bytes.readUInt16LE(0) * 65_536 + bytes.readUInt16LE(2);
}

/** A text value without its padding; empty where it is missing. */
export function textAt(set: DataSet, tag: number): string {
  const value = set.get(tag);
  return value instanceof Uint8Array
    ? Buffer.from(value)
        .toString("latin1")
        .replace(/[\0 ]+$/, "")
    : "";
}

/** The items of a sequence; none where it is missing. */
export function itemsAt(set: DataSet, tag: number): readonly DataSet[] {
  const value = set.get(tag);
  return value === undefined || value instanceof Uint8Array ? [] : value;
}

/** An unsigned short; undefined where it is missing or of another size. */
export function shortAt(set: DataSet, tag: number): number | undefined {
  const value = set.get(tag);
  return value instanceof Uint8Array && value.length === 2 ? Buffer.from(value).readUInt16LE(0) : undefined;
}
