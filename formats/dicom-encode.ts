/** Elements, items and sequences as octets, in the encoding of the data set they are for (PS3.5 7.1, 7.5). */
import { Fault } from "../errors.ts";
import { type Encoding, longVrs } from "./dicom-tokens.ts";

export const undefinedLength = 0xffff_ffff;
const itemTag = 0xfffee000;
/** Most VRs have a length of two octets (PS3.5 7.1.2). */
const mostShort = 0xffff;

/**
 * One element; a text of odd length is padded (PS3.5 6.2), a sequence never: nothing may stand behind its last item. TOO_LARGE where
 * its length has no room for that.
 */
export function encodeElement(tag: number, vr: string, value: Uint8Array, encoding: Encoding): Buffer {
  const pad =
    value.length % 2 === 1 && vr !== "SQ" ? Buffer.from(vr === "UI" || vr === "OB" ? "\0" : " ") : Buffer.alloc(0);
  const length = value.length + pad.length;
  const isLong = encoding.isExplicit && longVrs.has(vr);
  if (encoding.isExplicit && !isLong && length > mostShort)
    throw new Fault("TOO_LARGE", `a value of ${length} octets cannot be written as ${vr}; deliver the original`);
  const head = Buffer.alloc(isLong ? 12 : 8);
  writeTag(head, tag, encoding);
  if (encoding.isExplicit) head.write(vr, 4, "latin1");
  if (isLong || !encoding.isExplicit) writeLength(head, length, isLong ? 8 : 4, encoding);
  else if (encoding.isBig) head.writeUInt16BE(length, 6);
  else head.writeUInt16LE(length, 6);
  return Buffer.concat([head, value, pad]);
}

/** One item of defined length. */
export function encodeItem(content: Uint8Array, encoding: Encoding): Buffer {
  const head = Buffer.alloc(8);
  writeTag(head, itemTag, encoding);
  writeLength(head, content.length, 4, encoding);
  return Buffer.concat([head, content]);
}

/** VR (empty where it is not written), and where the length and the value of a whole element are. */
export function partsOf(
  element: Buffer,
  encoding: Encoding,
): { readonly vr: string; readonly lengthAt: number; readonly value: Buffer } {
  if (!encoding.isExplicit) return { vr: "", lengthAt: 4, value: element.subarray(8) };
  const vr = element.toString("latin1", 4, 6);
  return longVrs.has(vr)
    ? { vr, lengthAt: 8, value: element.subarray(12) }
    : { vr, lengthAt: 6, value: element.subarray(8) };
}

/** A length of four octets, as sequences, items and implicit elements have it. */
export const readLength = (bytes: Buffer, at: number, { isBig }: Encoding): number =>
  isBig ? bytes.readUInt32BE(at) : bytes.readUInt32LE(at);

export function writeLength(bytes: Buffer, length: number, at: number, { isBig }: Encoding): void {
  if (isBig) bytes.writeUInt32BE(length, at);
  else bytes.writeUInt32LE(length, at);
}

function writeTag(bytes: Buffer, tag: number, { isBig }: Encoding): void {
  const [group, number] = [tag >>> 16, tag & 0xffff];
  if (isBig) {
    bytes.writeUInt16BE(group, 0);
    bytes.writeUInt16BE(number, 2);
  } else {
    bytes.writeUInt16LE(group, 0);
    bytes.writeUInt16LE(number, 2);
  }
}
