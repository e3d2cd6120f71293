/**
 * Key Object Selection documents (PS3.3 A.35.4): the title, and the instances of the Current Requested Procedure Evidence
 * Sequence. Read whole, since they name instances and hold none; nothing else of them is looked at.
 */
import { Fault } from "../errors.ts";
import { readMeta } from "./dicom.ts";

export const keyObjectSelection = "1.2.840.10008.5.1.4.1.1.88.59";
/** Largest document read, octets; one that names 2,000 instances has 300 kB. */
export const maxKeyObjectsBytes = 16 * 1024 * 1024;
const maxReferences = 100_000;
const maxDepth = 32;
const maxElements = 2_000_000;
/** Each is a data set of its own, however empty; of each reference there are three. */
const maxItems = 400_000;

export type KeyObjects = {
  /** Document Title (TID 2010): code value and coding scheme. */
  readonly title: { readonly code: string; readonly scheme: string };
  readonly references: readonly { readonly studyInstanceUid: string; readonly sopInstanceUid: string }[];
};

const undefinedLength = 0xffff_ffff;
const [item, itemEnd, sequenceEnd] = [0xfffee000, 0xfffee00d, 0xfffee0dd];
const tags = {
  codeValue: 0x00080100,
  codingScheme: 0x00080102,
  referencedSeries: 0x00081115,
  referencedSop: 0x00081199,
  referencedInstance: 0x00081155,
  study: 0x0020000d,
  conceptName: 0x0040a043,
  evidence: 0x0040a375,
} as const;
/** Everything else is stepped over. */
const wanted: ReadonlySet<number> = new Set(Object.values(tags));
const explicitSyntaxes: ReadonlySet<string> = new Set(["1.2.840.10008.1.2.1"]);
const implicitSyntax = "1.2.840.10008.1.2";
const longVrs: ReadonlySet<string> = new Set("OB OD OF OL OV OW SQ SV UC UN UR UT UV".split(" "));

type Element = { readonly text: string; readonly items: readonly DataSet[] };
type DataSet = ReadonlyMap<number, Element>;
type Cursor = { readonly bytes: Buffer; at: number; elements: number; items: number; readonly isExplicit: boolean };

const invalid = (what: string): Fault => new Fault("DICOM_INVALID", `the key object selection ${what}`);

/** Title and references of a Part 10 file in little endian; DICOM_INVALID where they are not what the standard says. */
export function readKeyObjects(file: Uint8Array): KeyObjects {
  if (file.length > maxKeyObjectsBytes)
    throw new Fault("TOO_LARGE", `a key object selection over ${maxKeyObjectsBytes} octets`);
  const { offset, transferSyntaxUid } = readMeta(file);
  const isExplicit = explicitSyntaxes.has(transferSyntaxUid);
  if (!isExplicit && transferSyntaxUid !== implicitSyntax)
    throw invalid("is in a transfer syntax that is not read here");
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.length);
  const dataSet = elements({ bytes, at: offset, elements: 0, items: 0, isExplicit }, bytes.length, 0);
  const title = dataSet.get(tags.conceptName)?.items[0];
  const code = title?.get(tags.codeValue)?.text;
  const scheme = title?.get(tags.codingScheme)?.text;
  if (!code || !scheme) throw invalid("has no title code");
  const references = itemsOf(dataSet, tags.evidence).flatMap((study) =>
    itemsOf(study, tags.referencedSeries)
      .flatMap((series) => itemsOf(series, tags.referencedSop))
      .map((sop) => ({
        studyInstanceUid: uidOf(study, tags.study),
        sopInstanceUid: uidOf(sop, tags.referencedInstance),
      })),
  );
  if (references.length === 0) throw invalid("names no instance");
  if (references.length > maxReferences)
    throw new Fault("TOO_LARGE", `a key object selection of over ${maxReferences} instances`);
  return { title: { code, scheme }, references };
}

const itemsOf = (dataSet: DataSet, tag: number): readonly DataSet[] => dataSet.get(tag)?.items ?? [];

function uidOf(dataSet: DataSet, tag: number): string {
  const value = dataSet.get(tag)?.text ?? "";
  if (!/^[0-9]+(\.[0-9]+)*$/.test(value) || value.length > 64) throw invalid("has a reference without a UID");
  return value;
}

/** Elements up to `end`, or up to an item's delimiter where that is unknown (PS3.5 7.5). */
function elements(cursor: Cursor, end: number, depth: number): DataSet {
  if (depth > maxDepth) throw invalid(`nests deeper than ${maxDepth}`);
  const found = new Map<number, Element>();
  const isDelimited = end === Number.POSITIVE_INFINITY;
  while (isDelimited || cursor.at < end) {
    cursor.elements += 1;
    if (cursor.elements > maxElements) throw invalid(`has over ${maxElements} elements`);
    const tag = tagAt(cursor);
    if (tag === itemEnd && isDelimited) {
      take(cursor, 4);
      return found;
    }
    const { vr, length } = lengthAt(cursor);
    const isSequence = length === undefinedLength || vr === "SQ" || (vr === "" && isSequenceTag(tag));
    const element = isSequence
      ? { text: "", items: items(cursor, length, depth + 1) }
      : { text: textAt(cursor, length), items: [] };
    if (wanted.has(tag)) found.set(tag, element);
  }
  if (cursor.at !== end) throw invalid("has elements longer than their item");
  return found;
}

/** In implicit little endian the tag alone says that it is a sequence; others of defined length are stepped over. */
const isSequenceTag = (tag: number): boolean =>
  tag === tags.referencedSeries || tag === tags.referencedSop || tag === tags.conceptName || tag === tags.evidence;

function items(cursor: Cursor, length: number, depth: number): readonly DataSet[] {
  const found: DataSet[] = [];
  const end = length === undefinedLength ? Number.POSITIVE_INFINITY : cursor.at + length;
  while (cursor.at < end) {
    const marker = tagAt(cursor);
    const size = take(cursor, 4).readUInt32LE(0);
    if (marker === sequenceEnd && end === Number.POSITIVE_INFINITY) return found;
    if (marker !== item) throw invalid("has a sequence without items");
    cursor.items += 1;
    if (cursor.items > maxItems) throw new Fault("TOO_LARGE", `a key object selection of over ${maxItems} items`);
    found.push(elements(cursor, size === undefinedLength ? Number.POSITIVE_INFINITY : cursor.at + size, depth));
  }
  if (cursor.at !== end) throw invalid("has items longer than their sequence");
  return found;
}

function lengthAt(cursor: Cursor): { readonly vr: string; readonly length: number } {
  if (!cursor.isExplicit) return { vr: "", length: take(cursor, 4).readUInt32LE(0) };
  const head = take(cursor, 4);
  const vr = head.toString("latin1", 0, 2);
  return longVrs.has(vr) ? { vr, length: take(cursor, 4).readUInt32LE(0) } : { vr, length: head.readUInt16LE(2) };
}

function tagAt(cursor: Cursor): number {
  const bytes = take(cursor, 4);
  return bytes.readUInt16LE(0) * 65_536 + bytes.readUInt16LE(2);
}

const textAt = (cursor: Cursor, length: number): string =>
  take(cursor, length)
    .toString("latin1")
    .replace(/[\0 ]+$/, "");

function take(cursor: Cursor, count: number): Buffer {
  const bytes = cursor.bytes.subarray(cursor.at, cursor.at + count);
  if (bytes.length < count) throw invalid("is truncated");
  cursor.at += count;
  return bytes;
}
