/** Protocol data units of the DICOM upper layer (PS3.8 9.3): an incremental reader that never holds image data, and writers. */
import { Fault } from "../../errors.ts";
import { openGathered } from "./gathered.ts";

export const pduTypes = {
  associateRq: 1,
  associateAc: 2,
  associateRj: 3,
  data: 4,
  releaseRq: 5,
  releaseRp: 6,
  abort: 7,
} as const;

/** Every PDU but P-DATA is read whole; real ones are a few kilobytes. */
const maxControlBytes = 1024 * 1024;
const headBytes = 6;

/** A-ABORT sources and reasons (PS3.8 9.3.8). */
export const abortSource = { user: 0, provider: 2 } as const;
export const abortReason = {
  notSpecified: 0,
  unrecognizedPdu: 1,
  unexpectedPdu: 2,
  unexpectedParameter: 5,
  invalidParameter: 6,
} as const;

/** The peer broke the protocol: the association is aborted with this reason. */
export class ProtocolError extends Error {
  override readonly name = "ProtocolError";
  readonly reason: number;

  constructor(reason: number, message: string) {
    super(message);
    this.reason = reason;
  }
}

/** A piece of a message: `isCommand` and `isLast` from the message control header (PS3.8 E.2). */
export type Fragment = {
  readonly contextId: number;
  readonly isCommand: boolean;
  readonly isLast: boolean;
  readonly bytes: Uint8Array;
};

export type PduEvents = {
  /** Any PDU but P-DATA. */
  control(type: number, body: Buffer): void;
  /** A piece of a PDV as it arrives; `isLast` comes with its last octet. An empty PDV is one empty piece. */
  fragment(fragment: Fragment): void;
};

/**
 * Feeds chunks of a socket and says whether a PDU is under way behind them; throws `ProtocolError`. `maxData` is what was
 * announced in the negotiation. Of a chunk nothing is kept; a fragment is part of it.
 */
export function openPduReader(maxData: number, events: PduEvents): (chunk: Buffer) => boolean {
  const head = Buffer.alloc(headBytes);
  let filled = 0;
  let state: "pdu" | "control" | "pdv" | "piece" = "pdu";
  let type = 0;
  let left = 0;
  let piece = 0;
  let contextId = 0;
  let control = 0;
  const body = openGathered();

  const pdu = (): void => {
    type = head[0] ?? 0;
    left = head.readUInt32BE(2);
    if (type === pduTypes.data) {
      if (left > maxData || left < headBytes)
        throw new ProtocolError(abortReason.invalidParameter, `P-DATA of ${left} octets`);
      state = "pdv";
      return;
    }
    if (type < 1 || type > 7) throw new ProtocolError(abortReason.unrecognizedPdu, `PDU type ${type}`);
    if (left > maxControlBytes) throw new ProtocolError(abortReason.invalidParameter, `PDU of ${left} octets`);
    state = "control";
    if (left === 0) finishControl();
  };
  const pdv = (): void => {
    const length = head.readUInt32BE(0);
    contextId = head[4] ?? 0;
    control = head[5] ?? 0;
    left -= headBytes;
    piece = length - 2;
    if (length < 2 || piece > left || control > 3)
      throw new ProtocolError(abortReason.invalidParameter, "a PDV that does not fit its PDU");
    state = "piece";
    if (piece === 0) give(Buffer.alloc(0));
  };
  const give = (bytes: Buffer): void => {
    const isDone = piece === 0;
    if (isDone) state = left === 0 ? "pdu" : "pdv";
    if (isDone && left > 0 && left < headBytes)
      throw new ProtocolError(abortReason.invalidParameter, "octets after the last PDV");
    events.fragment({ contextId, isCommand: (control & 1) === 1, isLast: isDone && (control & 2) === 2, bytes });
  };
  const finishControl = (): void => {
    state = "pdu";
    events.control(type, body.take());
  };

  return (chunk) => {
    for (let rest = chunk; rest.length > 0; ) {
      if (state === "pdu" || state === "pdv") {
        const copied = rest.copy(head, filled);
        filled += copied;
        rest = rest.subarray(copied);
        if (filled < headBytes) return true;
        filled = 0;
        if (state === "pdu") pdu();
        else pdv();
      } else if (state === "control") {
        const taken = rest.subarray(0, left);
        body.add(taken);
        left -= taken.length;
        rest = rest.subarray(taken.length);
        if (left === 0) finishControl();
      } else {
        const taken = rest.subarray(0, piece);
        piece -= taken.length;
        left -= taken.length;
        rest = rest.subarray(taken.length);
        give(taken);
      }
    }
    return state !== "pdu";
  };
}

/** A PDU of this type. */
export function writePdu(type: number, body: Uint8Array): Buffer {
  const head = Buffer.alloc(headBytes);
  head[0] = type;
  head.writeUInt32BE(body.length, 2);
  return Buffer.concat([head, body]);
}

export const releaseRq = writePdu(pduTypes.releaseRq, new Uint8Array(4));
export const releaseRp = writePdu(pduTypes.releaseRp, new Uint8Array(4));
export const abort = (source: number, reason: number): Buffer =>
  writePdu(pduTypes.abort, Uint8Array.of(0, 0, source, reason));

/** Head of a P-DATA PDU with one PDV of `length` octets, which follow it. */
export function dataHead(contextId: number, isCommand: boolean, isLast: boolean, length: number): Buffer {
  const head = Buffer.allocUnsafe(12);
  head.writeUInt16BE(pduTypes.data << 8, 0);
  head.writeUInt32BE(length + 6, 2);
  head.writeUInt32BE(length + 2, 6);
  head[10] = contextId;
  head[11] = (isCommand ? 1 : 0) | (isLast ? 2 : 0);
  return head;
}

/** A fault that says which peer broke the protocol, for the log. */
export const protocolFault = (peer: string, thrown: ProtocolError): Fault =>
  new Fault("DICOM_INVALID", `${peer} broke the protocol: ${thrown.message}`);
