/**
 * DICOM Part 10 files, read as they stream by: structure checked, a few short values kept, pixel data never held.
 * Nothing is ever written back: what is forwarded are the octets that came.
 */
import { constants, inflateRawSync } from "node:zlib";
import { Fault } from "../errors.ts";
import { type Inflating, openInflating } from "./dicom-inflate.ts";
import { type DicomFinding, findingsOf } from "./dicom-iod.ts";
import { openScan, type Scan } from "./dicom-scan.ts";
import type { Notes, Values } from "./dicom-tokens.ts";

export type DicomFacts = {
  readonly sopClassUid: string;
  readonly sopInstanceUid: string;
  readonly transferSyntaxUid: string;
  readonly studyInstanceUid: string;
  readonly seriesInstanceUid: string;
  readonly patientId: string | null;
  readonly accessionNumber: string | null;
  readonly modality: string | null;
  readonly studyDate: string | null;
  readonly seriesNumber: string | null;
  readonly instanceNumber: string | null;
  readonly numberOfFrames: string | null;
};

export type Inspector = {
  /** The next octets; DICOM_INVALID as soon as they cannot be DICOM. A deflated data set is waited for: until then they stay as they are. */
  push(chunk: Uint8Array): void | Promise<void>;
  /** Nothing follows. */
  ended(): void | Promise<void>;
  /** After that: the facts, or what is missing. */
  finish(): DicomFacts;
  /** After that: what the instance says wrongly of itself. */
  findings(): readonly DicomFinding[];
};

export const deflatedExplicitLittle = "1.2.840.10008.1.2.1.99";
const mediaDirectory = "1.2.840.10008.1.3.10";
const preambleBytes = 128;
/** Largest meta group; real ones are a few hundred octets. */
const maxMetaBytes = 64 * 1024;
const uid = /^[0-9]+(\.[0-9]+)*$/;
const maxUidLength = 64;

const invalid = (what: string): Fault => new Fault("DICOM_INVALID", what);

/** An inspector of one file. */
export function inspectDicom(): Inspector {
  let head: Buffer = Buffer.alloc(0);
  let meta: Meta | undefined;
  let scan: Scan | undefined;
  let deflated: Inflating | undefined;
  const notes: Notes = { lengths: new Map(), unfit: [] };
  const open = (transferSyntaxUid: string): Scan => openScan(transferSyntaxUid, undefined, notes);

  const begin = (): Uint8Array => {
    meta = readMeta(head);
    const opened = open(meta.transferSyntaxUid);
    scan = opened;
    if (meta.transferSyntaxUid === deflatedExplicitLittle) deflated = openInflating((chunk) => opened.push(chunk));
    const rest = head.subarray(meta.offset);
    head = Buffer.alloc(0);
    return rest;
  };
  const data = (chunk: Uint8Array): void | Promise<void> => (deflated ? deflated.push(chunk) : scan?.push(chunk));
  return {
    push: (chunk) => {
      if (meta) return data(chunk);
      const isWhole = head.length === 0;
      head = isWhole ? Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length) : Buffer.concat([head, chunk]);
      if (head.length >= metaEnd(head)) return data(begin());
      // The chunk is somebody else's: what goes on in the next is copied.
      if (isWhole) head = Buffer.from(head);
    },
    ended: () => deflated?.end(),
    finish: () => {
      if (!meta) begin();
      if (!meta) throw invalid("the file ends in its meta information");
      return factsOf(meta, scan?.finish() ?? new Map());
    },
    findings: () => findingsOf(meta?.sopClassUid ?? "", scan?.values() ?? new Map(), notes),
  };
}

/** Octets up to which the meta information reaches, as far as can be told yet. */
export function metaEnd(head: Buffer): number {
  const groupLength = preambleBytes + 16;
  if (head.length < groupLength) return Number.POSITIVE_INFINITY;
  if (head.toString("latin1", preambleBytes, preambleBytes + 4) !== "DICM")
    throw invalid("no DICM after the preamble: not a Part 10 file");
  if (head.readUInt32LE(preambleBytes + 4) !== 0x0000_0002) throw invalid("the meta information has no group length");
  return groupLength + Math.min(head.readUInt32LE(preambleBytes + 12), maxMetaBytes + 1);
}

export type Meta = {
  readonly sopClassUid: string;
  readonly sopInstanceUid: string;
  readonly transferSyntaxUid: string;
  /** Where the data set begins. */
  readonly offset: number;
};

/** The File Meta Information (PS3.10 7.1) at the beginning of a file; `prefix` must hold all of it. */
export function readMeta(prefix: Uint8Array): Meta {
  const bytes = Buffer.from(prefix.buffer, prefix.byteOffset, prefix.length);
  const end = metaEnd(bytes);
  if (end > bytes.length || end > preambleBytes + 16 + maxMetaBytes)
    throw invalid("the meta information is truncated or over its limit");
  const values = new Map<number, string>();
  for (let at = preambleBytes + 16; at < end; ) {
    if (at + 8 > end || bytes.readUInt16LE(at) !== 0x0002)
      throw invalid("the meta group holds what does not belong there");
    const isLong = ["OB", "UN", "OW", "UT", "SQ"].includes(bytes.toString("latin1", at + 4, at + 6));
    if (isLong && at + 12 > end) throw invalid("the meta information is truncated");
    const length = isLong ? bytes.readUInt32LE(at + 8) : bytes.readUInt16LE(at + 6);
    const start = at + (isLong ? 12 : 8);
    if (start + length > end) throw invalid("a meta element reaches beyond its group");
    values.set(bytes.readUInt16LE(at + 2), trimmed(bytes.subarray(start, start + length)));
    at = start + length;
  }
  const required = (element: number, what: string): string => checkedUid(values.get(element), what);
  return {
    sopClassUid: required(0x0002, "Media Storage SOP Class UID"),
    sopInstanceUid: required(0x0003, "Media Storage SOP Instance UID"),
    transferSyntaxUid: required(0x0010, "Transfer Syntax UID"),
    offset: end,
  };
}

/** What a C-STORE announces of a file: its data set's own UIDs where they can be read, else those of the meta information. */
export function readHead(file: Uint8Array): Meta & { readonly studyInstanceUid: string } {
  const meta = readMeta(file);
  const body = file.subarray(meta.offset);
  const scan = openScan(meta.transferSyntaxUid);
  try {
    scan.push(meta.transferSyntaxUid === deflatedExplicitLittle ? beginning(body) : body.subarray(0, maxMetaBytes));
  } catch {
    // Not read further than this: whoever receives it checks the whole.
  }
  const of = (tag: number, otherwise: string): string => trimmed(scan.values().get(tag) ?? Buffer.from(otherwise));
  return {
    ...meta,
    sopClassUid: of(0x00080016, meta.sopClassUid),
    sopInstanceUid: of(0x00080018, meta.sopInstanceUid),
    studyInstanceUid: of(0x0020000d, ""),
  };
}

/** As much of a deflated data set as one of its first pieces brings, which need not be all of it. */
const beginning = (deflated: Uint8Array): Uint8Array =>
  inflateRawSync(deflated.subarray(0, maxMetaBytes), { finishFlush: constants.Z_SYNC_FLUSH }).subarray(0, maxMetaBytes);

/** PS3.5 9.1, leading zeros of a component tolerated. */
export const isUid = (value: string): boolean => value.length <= maxUidLength && uid.test(value);

function checkedUid(value: string | undefined, what: string): string {
  if (value === undefined || !isUid(value)) throw invalid(`${what} is missing or no UID`);
  return value;
}

const trimmed = (bytes: Uint8Array): string =>
  Buffer.from(bytes)
    .toString("latin1")
    .replace(/[\0 ]+$/, "");

function factsOf(meta: Meta, values: Values): DicomFacts {
  const decoder = new TextDecoder(charsetOf(trimmed(values.get(0x00080005) ?? new Uint8Array())));
  const text = (tag: number): string | null =>
    decoder
      .decode(values.get(tag))
      .replace(/[\0 ]+$/, "")
      .trim() || null;
  const sopClassUid = checkedUid(text(0x00080016) ?? undefined, "SOP Class UID");
  const sopInstanceUid = checkedUid(text(0x00080018) ?? undefined, "SOP Instance UID");
  if (sopClassUid === mediaDirectory || meta.sopClassUid === mediaDirectory)
    throw invalid("a media directory (DICOMDIR) is not an instance");
  if (sopClassUid !== meta.sopClassUid || sopInstanceUid !== meta.sopInstanceUid) {
    throw new Fault("DICOM_MISMATCH", "SOP Class or Instance UID of the data set differ from what was announced");
  }
  return {
    sopClassUid,
    sopInstanceUid,
    transferSyntaxUid: meta.transferSyntaxUid,
    studyInstanceUid: checkedUid(text(0x0020000d) ?? undefined, "Study Instance UID"),
    seriesInstanceUid: checkedUid(text(0x0020000e) ?? undefined, "Series Instance UID"),
    patientId: text(0x00100020),
    accessionNumber: text(0x00080050),
    modality: text(0x00080060),
    studyDate: text(0x00080020),
    seriesNumber: text(0x00200011),
    instanceNumber: text(0x00200013),
    numberOfFrames: text(0x00280008),
  };
}

/** Ids are ASCII in all but name; where they are not, these two say how (PS3.3 C.12.1.1.2). */
const charsetOf = (term: string): string =>
  term.includes("ISO_IR 192") ? "utf-8" : term.includes("GB18030") || term.includes("GBK") ? "gb18030" : "iso-8859-1";

const implementationClassUid = "2.25.253096178016519283645301744018215642097";
const implementationVersion = "SEMRS_1";

/**
 * Preamble, DICM and File Meta Information for a data set that came over an association (PS3.10 7.1). Nothing in it says who sent it: the
 * same instance is the same file, whoever forwards it.
 */
export function part10Header(sopClassUid: string, sopInstanceUid: string, transferSyntaxUid: string): Uint8Array {
  const elements = Buffer.concat([
    element(0x0001, "OB", Buffer.from([0, 1])),
    element(0x0002, "UI", Buffer.from(sopClassUid)),
    element(0x0003, "UI", Buffer.from(sopInstanceUid)),
    element(0x0010, "UI", Buffer.from(transferSyntaxUid)),
    element(0x0012, "UI", Buffer.from(implementationClassUid)),
    element(0x0013, "SH", Buffer.from(implementationVersion)),
  ]);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(elements.length);
  return Buffer.concat([Buffer.alloc(preambleBytes), Buffer.from("DICM"), element(0x0000, "UL", length), elements]);
}

function element(number: number, vr: string, value: Buffer): Buffer {
  const pad = value.length % 2 === 1 ? Buffer.from(vr === "UI" || vr === "OB" ? "\0" : " ") : Buffer.alloc(0);
  const isLong = vr === "OB";
  const head = Buffer.alloc(isLong ? 12 : 8);
  head.writeUInt16LE(0x0002, 0);
  head.writeUInt16LE(number, 2);
  head.write(vr, 4, "latin1");
  if (isLong) head.writeUInt32LE(value.length + pad.length, 8);
  else head.writeUInt16LE(value.length + pad.length, 6);
  return Buffer.concat([head, value, pad]);
}
