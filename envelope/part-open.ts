/** A part is opened: nothing of it is handed on before its digest matched what was signed. */
import { createHash, hash } from "node:crypto";
import { Fault } from "../errors.ts";
import { giveBack, usedUp } from "../memory.ts";
import { digestBytes, maxWholeBytes, type PartFacts, segmentBytes } from "./part.ts";
import { gcmDecipher, gcmOpen } from "./primitives.ts";

/** Clear text of a part. A segment is released only after its digest matched; a whole part after its last octet. */
export async function* openCipher(cipher: AsyncIterable<Uint8Array>, facts: PartFacts): AsyncGenerator<Uint8Array> {
  yield* verified(cipher, facts, () => facts.tag, "clear");
}

/** The same for a whole part that is at hand. */
export function openOctets(octets: Uint8Array, { size, sha256, cek, nonce, tag }: PartFacts): Uint8Array {
  if (octets.length !== size)
    throw refuse(octets.length > size ? "more octets than its size" : "fewer octets than its size");
  let clear: Uint8Array;
  try {
    clear = gcmOpen(cek, nonce, octets, tag);
  } catch (cause) {
    throw new Fault("ENVELOPE_NOT_OPENED", "part: its tag does not hold", { cause });
  }
  if (hash("sha256", clear) !== sha256) throw refuse("a digest differs from what was signed");
  return clear;
}

/** Ciphertext of a part on its way to a store: handed on only after the digest of its clear text matched. Each piece is the reader's until it asks for the next one. */
export const verifiedCipher = (
  cipher: AsyncIterable<Uint8Array>,
  facts: Omit<PartFacts, "tag">,
  tag: () => Uint8Array | undefined,
): AsyncGenerator<Uint8Array> => verified(cipher, facts, tag, "cipher");

/** Clear text of a part as it comes: a segment only after its digest matched, the last one only after the tag held too. */
export const verifiedClear = (
  cipher: AsyncIterable<Uint8Array>,
  facts: Omit<PartFacts, "tag">,
  tag: () => Uint8Array | undefined,
): AsyncGenerator<Uint8Array> => verified(cipher, facts, tag, "clear");

const refuse = (what: string): Fault => new Fault("ENVELOPE_NOT_OPENED", `part: ${what}`);

/** What is wanted is held until its digest matched: ciphertext in segments in one piece of memory, which is used again. */
async function* verified(
  source: AsyncIterable<Uint8Array>,
  { size, sha256, segs, cek, nonce }: Omit<PartFacts, "tag">,
  tag: () => Uint8Array | undefined,
  wanted: "cipher" | "clear",
): AsyncGenerator<Uint8Array> {
  const expected = segs ?? Buffer.from(sha256 ?? "", "hex");
  const unit = segs ? segmentBytes : maxWholeBytes;
  if (expected.length !== digestBytes * Math.ceil(size / unit)) throw refuse("its digests do not fit its size");
  const decipher = gcmDecipher(cek, nonce);
  let digest = createHash("sha256");
  const segment = segs && wanted === "cipher" ? Buffer.allocUnsafeSlow(Math.min(unit, size)) : undefined;
  let held: Uint8Array[] = [];
  let [seen, from] = [0, 0];
  for await (const piece of segment ? source : coalesced(source, size)) {
    let chunk = piece;
    while (chunk.length > 0) {
      const left = Math.min(unit - (seen - from), size - seen);
      if (left === 0) throw refuse("more octets than its size");
      const cipher = chunk.subarray(0, left);
      const clear = decipher.update(cipher);
      digest.update(clear);
      if (wanted === "clear") held.push(clear);
      else {
        // Clear text that nobody else has seen.
        giveBack(clear);
        if (segment) segment.set(cipher, seen - from);
        else held.push(cipher);
      }
      seen += cipher.length;
      chunk = chunk.subarray(cipher.length);
      if (cipher.length < left) continue;
      const at = (Math.ceil(seen / unit) - 1) * digestBytes;
      if (!digest.digest().equals(expected.subarray(at, at + digestBytes)))
        throw refuse("a digest differs from what was signed");
      // The signed digest authorises each segment; the last one waits for the tag as well.
      if (seen === size) continue;
      if (segment) yield segment;
      else yield* held;
      held = [];
      from = seen;
      digest = createHash("sha256");
    }
    if (segment) usedUp(piece);
  }
  if (seen !== size) throw refuse("fewer octets than its size");
  try {
    decipher.setAuthTag(tag() ?? new Uint8Array());
    decipher.final();
  } catch (cause) {
    throw new Fault("ENVELOPE_NOT_OPENED", "part: its tag does not hold", { cause });
  }
  if (segment) yield segment.subarray(0, size - from);
  else yield* held;
}

/** Pieces below this are put together: a list of what is held may not be as long as the sender likes to make it. */
const maxPieceBytes = 16 * 1024;

async function* coalesced(source: AsyncIterable<Uint8Array>, size: number): AsyncGenerator<Uint8Array> {
  // What is more than its size is refused as soon as it comes.
  const pieceBytes = Math.max(1, Math.min(maxPieceBytes, size));
  let gathered = new Uint8Array();
  let filled = 0;
  for await (const chunk of source) {
    if (filled === 0 && chunk.length >= pieceBytes) {
      yield chunk;
      continue;
    }
    for (let rest = chunk; rest.length > 0; ) {
      if (filled === 0) gathered = Buffer.allocUnsafeSlow(pieceBytes);
      const piece = rest.subarray(0, pieceBytes - filled);
      gathered.set(piece, filled);
      filled += piece.length;
      rest = rest.subarray(piece.length);
      if (filled < pieceBytes) continue;
      yield gathered;
      filled = 0;
    }
  }
  if (filled > 0) yield gathered.subarray(0, filled);
}
