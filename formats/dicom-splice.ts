/**
 * Another house's identity in a copy of an instance, while it streams by: PatientID, its issuer and the accession number
 * are replaced, and what they were is kept in an Original Attributes Sequence (PS3.3 C.12.1.1.9, IHE RAD IRWF). Every other
 * octet stays, in the transfer syntax it came in; only group lengths (PS3.5 7.2) follow what was changed.
 */
import { Fault } from "../errors.ts";
import { encodeElement, encodeItem, partsOf, readLength, undefinedLength, writeLength } from "./dicom-encode.ts";
import { rewriteDataSet } from "./dicom-file.ts";
import { openScan } from "./dicom-scan.ts";
import { type Encoding, encodingOf, tagOf } from "./dicom-tokens.ts";

export type DicomIdentity = {
  /** LO, at most 64 characters. */
  readonly patientId: string;
  /** LO; null takes the other house's away. */
  readonly issuerOfPatientId: string | null;
  /** SH, at most 16 characters; undefined leaves what there is, empty empties it. */
  readonly accessionNumber: string | undefined;
  readonly modifiedAt: Date;
  /** Who changes it, and from whom the previous values came. */
  readonly modifyingSystem: string;
  readonly source: string;
};

type Octets = AsyncIterable<Uint8Array>;
/** What stands in the place of one element; `old` is the whole element as it was, undefined where there was none. */
type Edit = { readonly tag: number; replace(old: Buffer | undefined): Uint8Array };

const tags = {
  specificCharacterSet: 0x00080005,
  accessionNumber: 0x00080050,
  issuerOfAccessionNumber: 0x00080051,
  patientId: 0x00100020,
  issuerOfPatientId: 0x00100021,
  issuerQualifiers: 0x00100024,
  modifiedAttributes: 0x04000550,
  originalAttributes: 0x04000561,
  modificationDateTime: 0x04000562,
  modifyingSystem: 0x04000563,
  sourceOfPreviousValues: 0x04000564,
  reason: 0x04000565,
} as const;
/** Replaced during import from another institution (PS3.3 C.12.1.1.9). */
const coerced = "COERCE";
const maxCharacters = { LO: 64, SH: 16 } as const;
/** One element that is replaced, or one group whose length is: held until it is whole. */
const maxHeldBytes = 4 * 1024 * 1024;
/** A group length: tag, VR and length or length alone, and four octets (PS3.5 7.2). */
const groupLengthBytes = 12;
const none = Buffer.alloc(0);

/** A Part 10 file with our identity; DICOM_UNSUPPORTED when its character set cannot write it. */
export const spliceIdentity = (file: Octets, identity: DicomIdentity): AsyncGenerator<Uint8Array> =>
  rewriteDataSet(file, async function* (dataSet, transferSyntaxUid) {
    const splicer = openSplicer(transferSyntaxUid, identity);
    for await (const chunk of dataSet) yield* splicer.push(chunk);
    yield* splicer.finish();
  });

type Splicer = { push(chunk: Uint8Array): readonly Uint8Array[]; finish(): readonly Uint8Array[] };

function openSplicer(transferSyntaxUid: string, identity: DicomIdentity): Splicer {
  const encoding = encodingOf(transferSyntaxUid);
  const edits = editsOf(identity, encoding);
  const writer = openWriter(encoding, new Set(edits.map(({ tag }) => tag >>> 16)));
  let old: Buffer[] | undefined;
  let oldBytes = 0;

  const settle = (tag: number): void => {
    if (old) writer.put(edits.shift()?.replace(Buffer.concat(old)) ?? none);
    old = undefined;
    for (let edit = edits[0]; edit && edit.tag < tag; edit = edits[0]) {
      edits.shift();
      writer.enter(edit.tag);
      writer.put(edit.replace(undefined));
    }
  };
  const scan = openScan(transferSyntaxUid, (octets, begins) => {
    if (begins) {
      const tag = tagOf(octets, encoding);
      settle(tag);
      writer.enter(tag);
      old = edits[0]?.tag === tag ? [] : undefined;
      oldBytes = 0;
    }
    if (!old) return writer.put(octets);
    oldBytes += octets.length;
    if (oldBytes > maxHeldBytes) throw tooLarge();
    old.push(Buffer.from(octets));
  });
  return {
    push: (chunk) => {
      scan.push(chunk);
      return writer.take();
    },
    finish: () => {
      scan.finish();
      settle(Number.POSITIVE_INFINITY);
      return [...writer.take(), ...writer.finish()];
    },
  };
}

/** In the order of their tags: what comes before the sequence of original attributes is known when it is written. */
function editsOf(identity: DicomIdentity, encoding: Encoding): Edit[] {
  const { patientId, issuerOfPatientId, accessionNumber } = identity;
  const previous = new Map<number, Uint8Array>();
  const changed = new Set<number>();
  let charset = "";

  const text = (tag: number, vr: "LO" | "SH", value: string, isRemovedWhenEmpty = false): Edit => ({
    tag,
    replace: (old) => {
      const octets = encodeText(value, vr, charset);
      previous.set(tag, old ? evened(old, tag, encoding) : encodeElement(tag, vr, none, encoding));
      if (octets.toString("latin1") === (old ? trimmed(partsOf(old, encoding).value) : "")) return old ?? none;
      changed.add(tag);
      return value === "" && isRemovedWhenEmpty ? none : encodeElement(tag, vr, octets, encoding);
    },
  });
  /** Who issued the other house's number says nothing of ours. */
  const removedWith = (numbers: readonly number[], tag: number): Edit => ({
    tag,
    replace: (old) => {
      if (!old || !numbers.some((each) => changed.has(each))) return old ?? none;
      previous.set(tag, old);
      changed.add(tag);
      return none;
    },
  });
  const patient: readonly number[] = [tags.patientId, tags.issuerOfPatientId];
  /** A number is told together with its issuer, even if one of them is unchanged (PS3.3 C.12.1.1.9). */
  const isTold = (tag: number): boolean =>
    changed.has(tag) || (patient.includes(tag) && patient.some((each) => changed.has(each)));
  return [
    {
      tag: tags.specificCharacterSet,
      replace: (old) => {
        charset = old ? trimmed(partsOf(old, encoding).value) : "";
        return old ?? none;
      },
    },
    ...(accessionNumber === undefined
      ? []
      : [
          text(tags.accessionNumber, "SH", accessionNumber),
          removedWith([tags.accessionNumber], tags.issuerOfAccessionNumber),
        ]),
    text(tags.patientId, "LO", patientId),
    text(tags.issuerOfPatientId, "LO", issuerOfPatientId ?? "", true),
    removedWith(patient, tags.issuerQualifiers),
    {
      tag: tags.originalAttributes,
      replace: (old) => {
        if (changed.size === 0) return old ?? none;
        const told = [...previous].filter(([tag]) => isTold(tag)).map(([, octets]) => octets);
        return appended(old, originalItem(identity, told, encoding), encoding);
      },
    },
  ];
}

/** One item of the Original Attributes Sequence (PS3.3 table C.12.1.1.9-1). */
function originalItem(
  { modifiedAt, modifyingSystem, source }: DicomIdentity,
  previous: readonly Uint8Array[],
  encoding: Encoding,
): Buffer {
  const at = `${modifiedAt.toISOString().replaceAll(/\D/g, "").slice(0, 14)}+0000`;
  const text = (tag: number, vr: string, value: string): Buffer =>
    encodeElement(tag, vr, Buffer.from(value.slice(0, maxCharacters.LO), "ascii"), encoding);
  const content = Buffer.concat([
    encodeElement(tags.modifiedAttributes, "SQ", encodeItem(Buffer.concat(previous), encoding), encoding),
    text(tags.modificationDateTime, "DT", at),
    text(tags.modifyingSystem, "LO", modifyingSystem),
    text(tags.sourceOfPreviousValues, "LO", source),
    text(tags.reason, "CS", coerced),
  ]);
  return encodeItem(content, encoding);
}

/** A value of odd length is padded where it is told (PS3.5 7.1): the items around it have lengths of their own. */
function evened(element: Buffer, tag: number, encoding: Encoding): Buffer {
  const { vr, value } = partsOf(element, encoding);
  return value.length % 2 === 0 ? element : encodeElement(tag, vr, value, encoding);
}

/** The sequence with one item more; items that are there stay as they are. */
function appended(old: Buffer | undefined, item: Buffer, encoding: Encoding): Buffer {
  if (!old) return encodeElement(tags.originalAttributes, "SQ", item, encoding);
  const { vr, lengthAt } = partsOf(old, encoding);
  if (vr !== "" && vr !== "SQ")
    throw new Fault(
      "DICOM_UNSUPPORTED",
      "the Original Attributes Sequence is not written as a sequence; nothing can be added",
    );
  const length = readLength(old, lengthAt, encoding);
  // Of undefined length: its delimiter are the last eight octets.
  if (length === undefinedLength) return Buffer.concat([old.subarray(0, -8), item, old.subarray(-8)]);
  const longer = Buffer.concat([old, item]);
  writeLength(longer, length + item.length, lengthAt, encoding);
  return longer;
}

type Writer = {
  /** An element of this tag follows. */
  enter(tag: number): void;
  put(octets: Uint8Array): void;
  take(): readonly Uint8Array[];
  finish(): readonly Uint8Array[];
};

/** Collects what goes out; a touched group that begins with its length is held until its new length is known. */
function openWriter(encoding: Encoding, touched: ReadonlySet<number>): Writer {
  let out: Uint8Array[] = [];
  let held: { readonly group: number; readonly octets: Uint8Array[]; bytes: number } | undefined;

  const release = (): void => {
    if (!held) return;
    const whole = Buffer.concat(held.octets);
    if (isGroupLength(whole, encoding)) writeLength(whole, whole.length - groupLengthBytes, 8, encoding);
    out.push(whole);
    held = undefined;
  };
  const take = (): readonly Uint8Array[] => {
    const taken = out;
    out = [];
    return taken;
  };
  return {
    enter: (tag) => {
      const group = tag >>> 16;
      if (held?.group !== group) release();
      if ((tag & 0xffff) === 0 && touched.has(group)) held = { group, octets: [], bytes: 0 };
    },
    put: (octets) => {
      if (octets.length === 0) return;
      if (!held) return void out.push(octets);
      held.bytes += octets.length;
      if (held.bytes > maxHeldBytes) throw tooLarge();
      held.octets.push(Buffer.from(octets));
    },
    take,
    finish: () => {
      release();
      return take();
    },
  };
}

function isGroupLength(element: Buffer, encoding: Encoding): boolean {
  const written = element.toString("latin1", 4, 8);
  if (!encoding.isExplicit) return written === "\u0004\0\0\0";
  return written === (encoding.isBig ? "UL\0\u0004" : "UL\u0004\0");
}

/** ASCII is in every character set of DICOM; beyond it only what can be written without a shift (PS3.3 C.12.1.1.2). */
function encodeText(value: string, vr: "LO" | "SH", charset: string): Buffer {
  const refuse = (what: string): Fault =>
    new Fault("DICOM_UNSUPPORTED", `the identity to be delivered ${what}; deliver the original, or correct it`);
  if ([...value].length > maxCharacters[vr]) throw refuse(`has more than the ${maxCharacters[vr]} characters of ${vr}`);
  const points = [...value].map((character) => character.codePointAt(0) ?? 0);
  if (points.some((point) => point < 0x20 || point === 0x5c || point === 0x7f))
    throw refuse("holds a backslash or a control character");
  const highest = Math.max(0, ...points);
  if (highest < 0x80 || (charset === "ISO_IR 100" && highest <= 0xff)) return Buffer.from(value, "latin1");
  if (charset === "ISO_IR 192") return Buffer.from(value, "utf8");
  throw refuse("cannot be written in the character set of an instance");
}

const trimmed = (value: Buffer): string => value.toString("latin1").replace(/[\0 ]+$/, "");
const tooLarge = (): Fault =>
  new Fault("TOO_LARGE", `what is replaced, or its group, is over ${maxHeldBytes} octets; deliver the original`);
