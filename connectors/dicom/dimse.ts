/** DIMSE command sets (PS3.7 6.3, Annex E): always implicit little endian, group 0000. */
import { abortReason, ProtocolError } from "./pdu.ts";

export const commands = {
  storeRq: 0x0001,
  storeRsp: 0x8001,
  echoRq: 0x0030,
  echoRsp: 0x8030,
  eventReportRq: 0x0100,
  eventReportRsp: 0x8100,
  actionRq: 0x0130,
  actionRsp: 0x8130,
  cancelRq: 0x0fff,
} as const;
/** PS3.7 Annex C. */
export const status = {
  success: 0x0000,
  processingFailure: 0x0110,
  noSuchInstance: 0x0112,
  noSuchEventType: 0x0113,
  invalidArgument: 0x0115,
  noSuchClass: 0x0118,
  noSuchAction: 0x0123,
  unrecognizedOperation: 0x0211,
  resourceLimitation: 0x0213,
} as const;
/** PS3.4 B.2.3: success, and warnings (Bxxx), with which an instance is stored, too. */
export const isTaken = (code: number): boolean => code === status.success || code >>> 12 === 0xb;
export const noDataSet = 0x0101;
export const maxCommandBytes = 64 * 1024;

/** Elements of a command set by element number; UIDs as text, the rest as numbers. */
export const element = {
  affectedSopClass: 0x0002,
  requestedSopClass: 0x0003,
  commandField: 0x0100,
  messageId: 0x0110,
  respondedTo: 0x0120,
  priority: 0x0700,
  dataSetType: 0x0800,
  status: 0x0900,
  errorComment: 0x0902,
  affectedSopInstance: 0x1000,
  requestedSopInstance: 0x1001,
  eventTypeId: 0x1002,
  actionTypeId: 0x1008,
} as const;

export type CommandSet = ReadonlyMap<number, string | number>;
/** What `writeCommand` writes: in the order of the element numbers. */
export type CommandElements = readonly (readonly [number: number, value: string | number])[];

const numbers: ReadonlySet<number> = new Set([
  element.commandField,
  element.messageId,
  element.respondedTo,
  element.priority,
  element.dataSetType,
  element.status,
  element.eventTypeId,
  element.actionTypeId,
]);

/** A command set as octets, with its group length. */
export function writeCommand(elements: CommandElements): Buffer {
  const parts = elements.map(([number, value]) => {
    const text = typeof value === "string" ? Buffer.from(value, "latin1") : Buffer.alloc(2);
    if (typeof value === "number") text.writeUInt16LE(value);
    const padded = text.length % 2 === 1 ? Buffer.concat([text, Uint8Array.of(0)]) : text;
    const head = Buffer.alloc(8);
    head.writeUInt16LE(number, 2);
    head.writeUInt32LE(padded.length, 4);
    return Buffer.concat([head, padded]);
  });
  const body = Buffer.concat(parts);
  const group = Buffer.alloc(12);
  group.writeUInt32LE(4, 4);
  group.writeUInt32LE(body.length, 8);
  return Buffer.concat([group, body]);
}

/** Reads a command set; what is not one aborts the association. */
export function readCommand(bytes: Buffer): CommandSet {
  const found = new Map<number, string | number>();
  for (let at = 0; at < bytes.length; ) {
    if (at + 8 > bytes.length || bytes.readUInt16LE(at) !== 0)
      throw new ProtocolError(abortReason.invalidParameter, "a command set that is none");
    const number = bytes.readUInt16LE(at + 2);
    const end = at + 8 + bytes.readUInt32LE(at + 4);
    if (end > bytes.length) throw new ProtocolError(abortReason.invalidParameter, "a command element that is cut off");
    const value = bytes.subarray(at + 8, end);
    if (numbers.has(number)) {
      if (value.length !== 2) throw new ProtocolError(abortReason.invalidParameter, "a command number of another size");
      found.set(number, value.readUInt16LE(0));
    } else found.set(number, value.toString("latin1").replace(/[\0 ]+$/, ""));
    at = end;
  }
  return found;
}

export const numberOf = (command: CommandSet, number: number): number => Number(command.get(number) ?? 0);
export const textOf = (command: CommandSet, number: number): string => String(command.get(number) ?? "");
