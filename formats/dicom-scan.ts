/** Feeds the tokenizer, however the octets are cut, and tells where each element of the top level begins. */
import { Fault } from "../errors.ts";
import { type Feed, type Need, type Notes, type Sink, tokenize, type Values } from "./dicom-tokens.ts";

/** Of a chunk nothing is kept but copies. */
export type Scan = { push(chunk: Uint8Array): void; finish(): Values; values(): Values };

const empty = Buffer.alloc(0);

/** A scan of one data set; every octet that went in is told to `sink`, what is noticed to `notes`. */
export function openScan(transferSyntaxUid: string, sink?: Sink, notes?: Notes): Scan {
  const feed: Feed = { octets: empty, at: 0, sink };
  const tokens = tokenize(transferSyntaxUid, feed, notes);
  let need: Need = firstOf(tokens.next());
  let gathered: Buffer[] = [];
  let size = 0;
  return {
    push: (chunk) => {
      feed.octets = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
      feed.at = 0;
      // The tokenizer has taken what was whole: what it needs now begins in this chunk, or goes on in it.
      while (feed.at < feed.octets.length) {
        const piece = feed.octets.subarray(feed.at, feed.at + need.count - size);
        feed.at += piece.length;
        size += piece.length;
        const isTaken = need.kind === "take";
        // What goes on in the next chunk is kept beyond this one.
        if (isTaken) gathered.push(size < need.count ? Buffer.from(piece) : piece);
        else sink?.(piece, false);
        if (size < need.count) break;
        const bytes = isTaken ? (gathered.length === 1 ? (gathered[0] ?? empty) : Buffer.concat(gathered)) : empty;
        // A data set may end before a tag of its top level, and nowhere else before octets that are taken.
        if (isTaken) sink?.(bytes, need.mayEnd);
        gathered = [];
        size = 0;
        need = firstOf(tokens.next(bytes));
      }
      feed.octets = empty;
      feed.at = 0;
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
