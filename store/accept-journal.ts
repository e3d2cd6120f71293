/**
 * The accept journal: an append-only file of what was acknowledged, each record chained to the one before by SHA-256. The
 * index is the record; this file convicts it.
 *
 * A frame is: u32 length of the body · u32 CRC-32 of the body · body · 32 octets chain = SHA-256(chain before ‖ body).
 * The body is JSON: {"seq","at","id","digest","group"}. `group` is the first `seq` of those that were made durable together,
 * at the same time as their index rows (decision 10): that they were acknowledged is proven by any later group, or by a frame
 * without `id` and `digest`, which says that everything before it was. While a site runs, zeros follow the last frame.
 */
import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import { Fault } from "../errors.ts";
import { type JournalFile, openJournalFile } from "./journal-file.ts";
import type { Acceptance } from "./store.ts";

export type Accepted = {
  readonly seq: number;
  readonly at: number;
  readonly id: string;
  readonly digest: string;
  /** Missing before decision 10, when each was proven by being there. */
  readonly group?: number;
};
/** Says that whatever comes before it was acknowledged. */
export type Confirmation = Pick<Accepted, "seq" | "at">;
/** Where the chain stands: after record `seq`, `offset` octets into the file. */
export type Head = { readonly seq: number; readonly chain: Uint8Array; readonly offset: number };

/** What the index says of the journal: where it stood before the last commit, and what that commit has added to it. */
export type Checkpoint = Head & { readonly accepted: readonly Acceptance[] };
export type Recovered = {
  /** Acknowledged, and not in the index. */
  readonly missing: readonly Accepted[];
  /** In the index, and not in the journal: a power cut came between the two, and nobody had an answer. They are added again. */
  readonly owed: readonly Acceptance[];
  readonly head: Head;
};

const headBytes = 8;
const chainBytes = 32;
const maxBodyBytes = 1024;
/** Acceptances made durable together, and the most octets that they take. */
export const maxGroup = 256;
const maxGroupBytes = maxGroup * 256;

/** Before the first record. */
export const emptyHead: Head = { seq: 0, chain: new Uint8Array(chainBytes), offset: 0 };
/** Of an index that nothing was committed to. */
export const noCheckpoint: Checkpoint = { ...emptyHead, accepted: [] };

/** One record as octets, and the chain after it. */
export function frame(
  accepted: Accepted | Confirmation,
  before: Uint8Array,
): { readonly bytes: Uint8Array; readonly chain: Uint8Array } {
  const body = Buffer.from(JSON.stringify(accepted));
  const bytes = Buffer.allocUnsafe(headBytes + body.length + chainBytes);
  bytes.writeUInt32BE(body.length, 0);
  bytes.writeUInt32BE(crc32(body), 4);
  body.copy(bytes, headBytes);
  const chain = createHash("sha256").update(before).update(body).digest();
  chain.copy(bytes, headBytes + body.length);
  return { bytes, chain };
}

/**
 * Reads what was acknowledged since a checkpoint and is not in the index (`isKept` tells). A torn end was never acknowledged,
 * nor a last group that nothing confirms and the index has nothing of: they are cut off. Anything else that does not fit is
 * STORE_DAMAGED, naming the file and the octet.
 */
export function readJournal(path: string, from: Checkpoint, isKept: (id: string) => boolean): Recovered {
  const file = openJournalFile(path, "repair");
  try {
    return recoverJournal(file, path, from, isKept);
  } finally {
    file?.close();
  }
}

/** As `readJournal`, over an open file; undefined where there is none. */
export function recoverJournal(
  file: JournalFile | undefined,
  name: string,
  from: Checkpoint,
  isKept: (id: string) => boolean,
): Recovered {
  if (!file) {
    if (from.offset > 0) throw new Fault("STORE_DAMAGED", `${name} is missing; restore the data folder from a backup`);
    return { missing: [], owed: from.accepted, head: from };
  }
  const size = file.size();
  if (size < from.offset)
    throw new Fault("STORE_DAMAGED", `${name} is shorter than the index says (${size} of ${from.offset} octets)`);
  const confirmed: Accepted[] = [];
  let group: Accepted[] = [];
  let [head, last]: [Head, Head] = [from, from];
  const known = new Set<string>();
  for (const { accepted, head: after } of frames(file, from)) {
    if (!("id" in accepted) || accepted.group === undefined || accepted.group !== group[0]?.group) {
      confirmed.push(...group);
      group = [];
      last = head;
    }
    if ("id" in accepted) group.push(accepted);
    if ("id" in accepted) known.add(accepted.id);
    head = after;
  }
  const isUnanswered = group[0]?.group !== undefined && !group.some(({ id }) => isKept(id));
  if (isUnanswered) head = last;
  else confirmed.push(...group);
  if (head.offset < size) file.truncate(head.offset);
  // What a killed process wrote is read from the cache: from here on it is built upon.
  file.syncNow();
  const owed = from.accepted.filter(({ id }) => !known.has(id));
  return { missing: confirmed.filter(({ id }) => !isKept(id)), owed, head };
}

/** Every record from the first on, while others may be appended; STORE_DAMAGED where the chain does not hold. */
export function* walkJournal(path: string): Generator<Accepted> {
  for (const { accepted } of walkOn(path, emptyHead)) yield accepted;
}

type Walked = { readonly accepted: Accepted; readonly head: Head };

/** Acceptances behind a place, each with where the chain stands behind it, while others may be appended. */
export function* walkOn(path: string, from: Head): Generator<Walked> {
  const file = openJournalFile(path, "read");
  if (!file) return;
  try {
    yield* walkFile(file, from);
  } finally {
    file.close();
  }
}

/** As `walkOn`, over an open file. */
export function* walkFile(file: JournalFile, from: Head): Generator<Walked> {
  for (const { accepted, head } of frames(file, from)) if ("id" in accepted) yield { accepted, head };
}

/** Records from a place on, until the end or a torn last one, each with where the chain stands behind it. */
function* frames(
  file: JournalFile,
  from: Head,
): Generator<{ readonly accepted: Accepted | Confirmation; readonly head: Head }> {
  const [size, path] = [file.size(), file.name];
  for (let head = from; head.offset < size; ) {
    const next = readFrame(file, head.offset, head.chain);
    if (typeof next === "string") {
      if (isFollowed(file, head)) throw damaged(path, head.offset, next);
      return;
    }
    const { accepted, chain, bytes } = next;
    if (accepted.seq !== head.seq + 1) throw damaged(path, head.offset, "sequence");
    head = { seq: accepted.seq, chain, offset: head.offset + bytes };
    yield { accepted, head };
  }
}

/** The frame at a place, or what about it does not hold. */
function readFrame(file: JournalFile, offset: number, before: Uint8Array) {
  const whole = bodyAt(file.read(offset, headBytes + maxBodyBytes + chainBytes));
  if (typeof whole === "string") return whole;
  const { body, chain } = whole;
  if (!createHash("sha256").update(before).update(body).digest().equals(chain)) return "chain";
  const accepted = JSON.parse(body.toString("utf8")) as Accepted | Confirmation;
  return { accepted, chain, bytes: headBytes + body.length + chainBytes };
}

/** The body of the frame that these octets begin with, and its chain; its checksum holds. */
function bodyAt(bytes: Buffer): "length" | "checksum" | { readonly body: Buffer; readonly chain: Buffer } {
  const length = bytes.length < headBytes ? 0 : bytes.readUInt32BE(0);
  const end = headBytes + length + chainBytes;
  if (length === 0 || length > maxBodyBytes || end > bytes.length) return "length";
  const body = bytes.subarray(headBytes, headBytes + length);
  if (crc32(body) !== bytes.readUInt32BE(4)) return "checksum";
  return { body, chain: bytes.subarray(headBytes + length, end) };
}

/**
 * Whether behind a frame that does not hold there is one of a later group: then what does not hold was durable once. A power
 * cut may leave any pages of the last group, the one that was being written.
 */
function isFollowed(file: JournalFile, { seq, offset }: Head): boolean {
  const rest = file.read(offset, maxGroupBytes + headBytes + maxBodyBytes + chainBytes);
  for (let at = 1; at + headBytes < rest.length; at += 1) {
    if (rest[at] !== 0 || rest[at + 1] !== 0) continue;
    const whole = bodyAt(rest.subarray(at));
    if (typeof whole === "string") continue;
    const { seq: found, group = found } = JSON.parse(whole.body.toString("utf8")) as Accepted;
    if (group > seq + 1) return true;
    at += headBytes + whole.body.length + chainBytes - 1;
  }
  return false;
}

const damaged = (path: string, offset: number, what: string): Fault =>
  new Fault(
    "STORE_DAMAGED",
    `${path} does not hold at octet ${offset} (${what}); restore the data folder from a backup`,
  );
