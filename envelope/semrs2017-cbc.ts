/**
 * AES-256-CBC with PKCS#5 padding, its IV in front. No tag holds here, so a reader that says whether padding was right gives
 * the clear text away (Vaudenay 2002): padding is judged in the same steps whatever it is, and the judgement is one number
 * that the caller adds to all others before anybody is told anything.
 */
import { createCipheriv, createDecipheriv } from "node:crypto";
import { Fault } from "../errors.ts";
import { blockBytes } from "./semrs2017-algorithms.ts";

const algorithm = "aes-256-cbc";
/** An IV and one block: nothing shorter was ever sealed. */
const leastBytes = 2 * blockBytes;

/** Octets of IV and ciphertext for so many octets of clear text. */
export const cbcLength = (size: number): number => blockBytes + (Math.floor(size / blockBytes) + 1) * blockBytes;

/** IV and ciphertext of octets at hand. The IV is drawn by `seal2017`, once for each value. */
export function cbcSeal(key: Uint8Array, iv: Uint8Array, clear: Uint8Array): Buffer {
  const cipher = createCipheriv(algorithm, key, iv);
  return Buffer.concat([iv, cipher.update(clear), cipher.final()]);
}

/** The same as a stream; STORE_DAMAGED when the clear text is not of the size that was promised. */
export async function* cbcSealed(
  key: Uint8Array,
  iv: Uint8Array,
  clear: AsyncIterable<Uint8Array>,
  size: number,
): AsyncGenerator<Uint8Array> {
  const cipher = createCipheriv(algorithm, key, iv);
  let sent = 0;
  yield iv;
  for await (const chunk of clear) {
    sent += chunk.length;
    if (sent > size) break;
    yield cipher.update(chunk);
  }
  if (sent !== size)
    throw new Fault("STORE_DAMAGED", "an instance is not of the size it had; restore it from a backup");
  yield cipher.final();
}

/** Clear text, and 0 if its padding was right; if not, `clear` is of no meaning but there all the same. */
export type Unpadded = { readonly clear: Uint8Array; readonly bad: number };

/** Decrypts and judges the padding. A length that no writer makes is seen by anybody on the way; it counts as bad. */
export function cbcOpen(key: Uint8Array, sealed: Uint8Array): Unpadded {
  const isWhole = sealed.length >= leastBytes && sealed.length % blockBytes === 0;
  const octets = isWhole ? sealed : new Uint8Array(leastBytes);
  const padded = decrypt(key, octets.subarray(0, blockBytes), octets.subarray(blockBytes));
  const { count, bad } = judged(padded);
  return { clear: padded.subarray(0, padded.length - count), bad: bad | Number(!isWhole) };
}

/** The judgement for a long part, from its last two blocks alone: `count` octets of padding at its end. */
export function cbcEnd(key: Uint8Array, lastTwoBlocks: Uint8Array): Judged {
  return judged(decrypt(key, lastTwoBlocks.subarray(0, blockBytes), lastTwoBlocks.subarray(blockBytes)));
}

/** Clear text of a long part whose padding was judged. */
export async function* cbcOpened(
  key: Uint8Array,
  sealed: AsyncIterable<Uint8Array>,
  { length, count }: { readonly length: number; readonly count: number },
): AsyncGenerator<Uint8Array> {
  const iv = Buffer.alloc(blockBytes);
  let decipher: ReturnType<typeof cbcDecipher> | undefined;
  let left = length - blockBytes - count;
  let seen = 0;
  for await (let chunk of sealed) {
    if (!decipher) {
      const taken = chunk.subarray(0, blockBytes - seen);
      iv.set(taken, seen);
      seen += taken.length;
      if (seen < blockBytes) continue;
      decipher = cbcDecipher(key, iv);
      chunk = chunk.subarray(taken.length);
    }
    const clear = decipher.update(chunk).subarray(0, left);
    left -= clear.length;
    seen += chunk.length;
    if (clear.length > 0) yield clear;
  }
  if (left !== 0 || seen !== length)
    throw new Fault("STORE_DAMAGED", "an instance did not come back from the spool as it was written");
}

/** Without automatic padding: it would throw, and the throw would tell. */
const cbcDecipher = (key: Uint8Array, iv: Uint8Array) => createDecipheriv(algorithm, key, iv).setAutoPadding(false);

function decrypt(key: Uint8Array, iv: Uint8Array, ciphertext: Uint8Array): Buffer {
  const decipher = cbcDecipher(key, iv);
  return Buffer.concat([decipher.update(ciphertext), decipher.final()]);
}

export type Judged = { readonly count: number; readonly bad: number };

/** RFC 8018 6.1.1: 1 to 16 octets, each the number of them. Every octet of the block is looked at, no octet decides a jump. */
function judged(padded: Uint8Array): Judged {
  const block = padded.subarray(-blockBytes);
  const count = block[blockBytes - 1] ?? 0;
  let difference = isZero(count) | isOver(count, blockBytes);
  for (let at = 0; at < blockBytes; at += 1) {
    const isPadding = isOver(count, blockBytes - 1 - at);
    difference |= -isPadding & ((block[at] ?? 0) ^ count);
  }
  const bad = 1 - isZero(difference);
  return { count: count & (bad - 1), bad };
}

/** 1 if an octet is 0, else 0, without a jump. */
export const isZero = (octet: number): number => ((octet - 1) >>> 31) & 1;
/** 1 if an octet is greater than `limit`, else 0, without a jump. */
const isOver = (octet: number, limit: number): number => ((limit - octet) >>> 31) & 1;
