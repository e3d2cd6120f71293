/**
 * The accept journal: an append-only file of what was acknowledged, each record chained to the one before by SHA-256. The
 * index is the record; this file convicts it (decision 12).
 *
 * A frame is: u32 length of the body · u32 CRC-32 of the body · body · 32 octets chain = SHA-256(chain before ‖ body).
 * The body is JSON: {"seq","at","id","digest"}.
 */
import { createHash } from "node:crypto";
import { closeSync, existsSync, fstatSync, ftruncateSync, openSync, readSync } from "node:fs";
import { crc32 } from "node:zlib";
import { Fault } from "../errors.ts";

export type Accepted = { readonly seq: number; readonly at: number; readonly id: string; readonly digest: string };
/** Where the chain stands: after record `seq`, `offset` octets into the file. */
export type Head = { readonly seq: number; readonly chain: Uint8Array; readonly offset: number };

const headBytes = 8;
const chainBytes = 32;
const maxBodyBytes = 1024;

export const emptyHead: Head = { seq: 0, chain: new Uint8Array(chainBytes), offset: 0 };

/** One record as octets, and the chain after it. */
export function frame(
  accepted: Accepted,
  before: Uint8Array,
): { readonly bytes: Uint8Array; readonly chain: Uint8Array } {
  const body = Buffer.from(JSON.stringify(accepted));
  const head = Buffer.alloc(headBytes);
  head.writeUInt32BE(body.length, 0);
  head.writeUInt32BE(crc32(body), 4);
  const chain = createHash("sha256").update(before).update(body).digest();
  return { bytes: Buffer.concat([head, body, chain]), chain };
}

/**
 * Reads what was acknowledged since a checkpoint. A torn last frame was never acknowledged: it is cut off. Anything else
 * that does not fit is STORE_DAMAGED, naming the file and the octet.
 */
export function readJournal(path: string, from: Head): { readonly accepted: readonly Accepted[]; readonly head: Head } {
  if (!existsSync(path)) {
    if (from.offset > 0) throw new Fault("STORE_DAMAGED", `${path} is missing; restore the data folder from a backup`);
    return { accepted: [], head: from };
  }
  const file = openSync(path, "r+");
  try {
    const { size } = fstatSync(file);
    if (size < from.offset)
      throw new Fault("STORE_DAMAGED", `${path} is shorter than the index says (${size} of ${from.offset} octets)`);
    const accepted: Accepted[] = [];
    let head = from;
    for (const next of frames(file, path, size, from)) {
      accepted.push(next.accepted);
      ({ head } = next);
    }
    const { offset } = head;
    if (offset < size) ftruncateSync(file, offset);
    return { accepted, head };
  } finally {
    closeSync(file);
  }
}

/** Every record from the first on, while others may be appended; STORE_DAMAGED where the chain does not hold. */
export function* walkJournal(path: string): Generator<Accepted> {
  if (!existsSync(path)) return;
  const file = openSync(path, "r");
  try {
    for (const { accepted } of frames(file, path, fstatSync(file).size, emptyHead)) yield accepted;
  } finally {
    closeSync(file);
  }
}

/** Records from a place on, until the end or a torn last one, each with where the chain stands behind it. */
function* frames(
  file: number,
  path: string,
  size: number,
  from: Head,
): Generator<{ readonly accepted: Accepted; readonly head: Head }> {
  for (let head = from; head.offset < size; ) {
    const next = readFrame(file, head.offset, size, head.chain, path);
    if (!next) return;
    const { accepted, chain, bytes } = next;
    if (accepted.seq !== head.seq + 1) throw damaged(path, head.offset, "sequence");
    head = { seq: accepted.seq, chain, offset: head.offset + bytes };
    yield { accepted, head };
  }
}

function readFrame(file: number, offset: number, size: number, before: Uint8Array, path: string) {
  const head = read(file, offset, headBytes);
  const length = head.length === headBytes ? head.readUInt32BE(0) : 0;
  const whole = headBytes + length + chainBytes;
  const isLast = offset + whole >= size;
  if (head.length < headBytes || offset + whole > size) {
    if (length > maxBodyBytes) throw damaged(path, offset, "length");
    return undefined;
  }
  const body = read(file, offset + headBytes, length);
  const chain = read(file, offset + headBytes + length, chainBytes);
  const isWhole = length <= maxBodyBytes && crc32(body) === head.readUInt32BE(4);
  if (!isWhole && isLast) return undefined;
  if (!isWhole) throw damaged(path, offset, "checksum");
  if (!createHash("sha256").update(before).update(body).digest().equals(chain)) throw damaged(path, offset, "chain");
  return { accepted: JSON.parse(body.toString("utf8")) as Accepted, chain, bytes: whole };
}

function read(file: number, offset: number, length: number): Buffer {
  const bytes = Buffer.alloc(Math.min(length, maxBodyBytes));
  return bytes.subarray(0, readSync(file, bytes, 0, bytes.length, offset));
}

const damaged = (path: string, offset: number, what: string): Fault =>
  new Fault(
    "STORE_DAMAGED",
    `${path} does not hold at octet ${offset} (${what}); restore the data folder from a backup`,
  );
