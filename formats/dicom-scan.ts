/** Feeds the tokenizer what it asks for, however the octets are cut, and tells where each element of the top level begins. */
import { Fault } from "../errors.ts";
import { type Need, type Notes, tokenize, type Values } from "./dicom-tokens.ts";

/** Octets in order; `begins` where they are the tag of a top-level element, whole. */
export type Sink = (octets: Buffer, begins: boolean) => void;
export type Scan = { push(chunk: Uint8Array): void; finish(): Values; values(): Values };

/** A scan of one data set; every octet that went in is told to `sink`, what is noticed to `notes`. */
export function openScan(transferSyntaxUid: string, sink: Sink = () => undefined, notes?: Notes): Scan {
  const tokens = tokenize(transferSyntaxUid, notes);
  let need: Need = firstOf(tokens.next());
  let gathered: Buffer[] = [];
  let size = 0;
  const empty = Buffer.alloc(0);
  return {
    push: (chunk) => {
      let rest = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
      while (rest.length > 0) {
        const piece = rest.subarray(0, need.count - size);
        rest = rest.subarray(piece.length);
        size += piece.length;
        // What goes on in the next chunk is kept beyond this one.
        if (need.kind === "take") gathered.push(size < need.count ? Buffer.from(piece) : piece);
        else sink(piece, false);
        while (size === need.count) {
          const isTaken = need.kind === "take";
          const bytes = isTaken ? (gathered.length === 1 ? (gathered[0] ?? empty) : Buffer.concat(gathered)) : empty;
          // A data set may end before a tag of its top level, and nowhere else before octets that are taken.
          if (isTaken) sink(bytes, need.mayEnd);
          gathered = [];
          size = 0;
          need = firstOf(tokens.next(bytes));
        }
      }
    },
    values: () => need.values,
    finish: () => {
      if (size > 0 || !need.mayEnd) throw new Fault("DICOM_INVALID", "the data set is truncated");
      return need.values;
    },
  };
}

function firstOf(result: IteratorResult<Need, Values>): Need {
  if (result.done === true) throw new Fault("DICOM_INVALID", "octets after the end of the data set");
  return result.value;
}
