/** Batch and file envelopes (HL7 v2.5.1 2.10.3): FHS BHS messages BTS FTS, taken apart without reading the messages. */
import { Fault } from "../errors.ts";
import { buildHead } from "./hl7-ack.ts";
import type { Separators } from "./hl7-message.ts";

/** Messages of one batch; more is not taken. */
const maxBatchMessages = 100_000;
const maxHeadBytes = 16 * 1024;
const [cr, lf] = [0x0d, 0x0a];

export type Batch = {
  /** In order, each as it came; one that is no message is among them. */
  readonly messages: readonly Uint8Array[];
  /** BTS-1 of all batches together; null where none is told. */
  readonly declared: number | null;
  readonly head: BatchHead;
};

/** What the first FHS or BHS says, in the sender's own octets (Latin-1). */
export type BatchHead = {
  readonly isFile: boolean;
  readonly separators: Separators;
  readonly sender: readonly [application: string, facility: string];
  readonly receiver: readonly [application: string, facility: string];
  readonly controlId: string;
};

/** Whether a frame begins with a file or batch header. */
export const isBatch = (bytes: Uint8Array): boolean =>
  /^[FB]HS/.test(latin(bytes.subarray(0, 4)).slice(0, 3)) && bytes.length > 8;

/** The messages of a batch. Whatever stands between header, messages and trailer begins a message of its own, which is then malformed. */
export function readBatch(bytes: Uint8Array): Batch {
  const messages: Uint8Array[] = [];
  let declared: number | null = null;
  let begun = -1;
  let head: BatchHead | undefined;
  const finish = (end: number): void => {
    if (begun >= 0) messages.push(bytes.subarray(begun, end));
    if (messages.length > maxBatchMessages)
      throw new Fault("TOO_LARGE", `the batch has over ${maxBatchMessages} messages; send it in parts`);
    begun = -1;
  };
  const ends = lineEnds(bytes);
  for (let start = 0; start < bytes.length; ) {
    const end = ends.from(start);
    const name = namesRead.has(bytes[start] ?? 0) ? latin(bytes.subarray(start, start + 3)) : "";
    if (name === "FHS" || name === "BHS") {
      finish(start);
      head ??= headOf(latin(bytes.subarray(start, Math.min(end, start + maxHeadBytes))));
    } else if (name === "BTS" || name === "FTS") {
      finish(start);
      const count =
        latin(bytes.subarray(start + 4, Math.min(end, start + 24))).split(head?.separators.field ?? "|")[0] ?? "";
      if (name === "BTS" && /^\d{1,9}$/.test(count)) declared = (declared ?? 0) + Number(count);
    } else if (end > start && (name === "MSH" || begun < 0)) {
      finish(start);
      begun = start;
    }
    start = end + 1;
  }
  finish(bytes.length);
  return { messages, declared, head: head ?? headOf("") };
}

/**
 * The answer to a batch: a batch of its acknowledgements in the order of its messages, BHS-12 the control id of the batch
 * that is answered (2.10.3.3). Written in the octets that the sender wrote.
 */
export function buildBatchAnswer(
  { isFile, separators, sender, receiver, controlId }: BatchHead,
  acks: readonly Uint8Array[],
  { id, time }: { readonly id: string; readonly time: string },
): Uint8Array {
  const { field } = separators;
  const of = (name: string) =>
    `${[buildHead(name, separators), ...receiver, ...sender, time, "", "", "", id, controlId].join(field)}\r`;
  const open = `${isFile ? of("FHS") : ""}${of("BHS")}`;
  const close = `${["BTS", acks.length].join(field)}\r${isFile ? `${["FTS", 1].join(field)}\r` : ""}`;
  return Buffer.concat([Buffer.from(open, "latin1"), ...acks, Buffer.from(close, "latin1")]);
}

function headOf(line: string): BatchHead {
  const field = line.charAt(3) || "|";
  const at = line.split(field);
  const [component = "^", repetition = "~", escaper = "\\", subcomponent = "&"] = at[1] ?? "";
  return {
    isFile: line.startsWith("FHS"),
    separators: { field, component, repetition, escape: escaper, subcomponent },
    sender: [at[2] ?? "", at[3] ?? ""],
    receiver: [at[4] ?? "", at[5] ?? ""],
    controlId: at[10] ?? "",
  };
}

/** First octets of FHS, BHS, BTS, FTS and MSH: a batch has hundreds of thousands of lines that are none of them. */
const namesRead: ReadonlySet<number> = new Set(Buffer.from("FBM"));

/** Ends of lines, by CR or LF; asked for in order, the octets are gone through once for each. */
function lineEnds(bytes: Uint8Array): { from(start: number): number } {
  const next = (octet: number, start: number): number => {
    const at = bytes.indexOf(octet, start);
    return at < 0 ? bytes.length : at;
  };
  let byLf = -1;
  return {
    from: (start) => {
      if (byLf < start) byLf = next(lf, start);
      return Math.min(next(cr, start), byLf);
    },
  };
}

const latin = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
