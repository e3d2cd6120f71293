/**
 * The one-time key under RSA: EME-PKCS1-v1_5 and EME-OAEP (RFC 8017 7.1.1, 7.2.1) for exactly 32 octets. Since the length is
 * known, both encodings have every octet at a fixed place, and decoding them takes the same steps whatever they are: neither
 * Bleichenbacher (1998) nor Manger (2001) learns from it whether one was right. OpenSSL's implicit rejection does this for
 * PKCS#1 alone and not in every build that Node may be linked with; OAEP in Node ends in a throw. So neither is used here.
 */
import { constants, createHash, type KeyObject, privateDecrypt, publicEncrypt, randomBytes } from "node:crypto";
import { digestBytes, type KeyTransport, keyBytes, transports } from "./semrs2017-algorithms.ts";
import { isZero } from "./semrs2017-cbc.ts";

const padding = constants.RSA_NO_PADDING;
const hashOfNoLabel = createHash("sha256").digest();

/** Part 4: the one-time key for the owner of a public key. */
export function wrapKey(key: KeyObject, transport: KeyTransport, oneTimeKey: Uint8Array): Uint8Array {
  const { mask } = transports[transport];
  if (mask === null) return publicEncrypt({ key, padding: constants.RSA_PKCS1_PADDING }, oneTimeKey);
  return publicEncrypt({ key, padding }, oaep(modulusBytes(key), mask, oneTimeKey));
}

/** The one-time key, or the substitute if anything is wrong with part 4. */
export function unwrapKey(
  key: KeyObject,
  transport: KeyTransport,
  wrapped: Uint8Array,
  substitute: Uint8Array,
): Uint8Array {
  const encoded = raw(key, wrapped);
  const { mask } = transports[transport];
  const { message, bad } = mask === null ? pkcs1Decoded(encoded) : oaepDecoded(encoded, mask);
  const wrong = -(1 - isZero(bad));
  return Uint8Array.from(message, (octet, at) => (octet & ~wrong) | ((substitute[at] ?? 0) & wrong));
}

/** RSA alone. What it refuses (another length than the modulus, a number beyond it) is seen without the private key. */
function raw(key: KeyObject, wrapped: Uint8Array): Uint8Array {
  try {
    return privateDecrypt({ key, padding }, wrapped);
  } catch {
    return new Uint8Array(modulusBytes(key));
  }
}

type Decoded = { readonly message: Uint8Array; readonly bad: number };

/** 00 02 ‖ octets other than 00 ‖ 00 ‖ message. */
function pkcs1Decoded(encoded: Uint8Array): Decoded {
  const start = encoded.length - keyBytes;
  let bad = at(encoded, 0) | (at(encoded, 1) ^ 2) | at(encoded, start - 1);
  for (let index = 2; index < start - 1; index += 1) bad |= isZero(at(encoded, index));
  return { message: encoded.subarray(start), bad };
}

/** 00 ‖ masked seed ‖ masked (hash of the empty label ‖ 00 … 00 01 ‖ message). */
function oaepDecoded(encoded: Uint8Array, mask: string): Decoded {
  const maskedSeed = encoded.subarray(1, 1 + digestBytes);
  const maskedBlock = encoded.subarray(1 + digestBytes);
  const seed = xor(maskedSeed, maskOf(maskedBlock, digestBytes, mask));
  const block = xor(maskedBlock, maskOf(seed, maskedBlock.length, mask));
  const expected = blockBefore(block.length);
  let bad = at(encoded, 0);
  for (const [index, octet] of expected.entries()) bad |= at(block, index) ^ octet;
  return { message: block.subarray(expected.length), bad };
}

function oaep(length: number, mask: string, message: Uint8Array): Uint8Array {
  const seed = randomBytes(digestBytes);
  const size = length - digestBytes - 1;
  const block = Buffer.concat([blockBefore(size), message]);
  const maskedBlock = xor(block, maskOf(seed, size, mask));
  return Buffer.concat([Uint8Array.of(0), xor(seed, maskOf(maskedBlock, digestBytes, mask)), maskedBlock]);
}

/** What stands before the message in a block of this size. */
function blockBefore(size: number): Uint8Array {
  const before = Buffer.alloc(size - keyBytes);
  before.set(hashOfNoLabel);
  before[before.length - 1] = 1;
  return before;
}

/** MGF1 (RFC 8017 B.2.1). */
function maskOf(seed: Uint8Array, length: number, hash: string): Uint8Array {
  const pieces: Uint8Array[] = [];
  for (let size = 0, counter = 0; size < length; counter += 1) {
    const octets = Buffer.alloc(4);
    octets.writeUInt32BE(counter);
    const piece = createHash(hash).update(seed).update(octets).digest();
    pieces.push(piece);
    size += piece.length;
  }
  return Buffer.concat(pieces).subarray(0, length);
}

const xor = (one: Uint8Array, other: Uint8Array): Uint8Array =>
  Uint8Array.from(one, (octet, i) => octet ^ at(other, i));
const at = (octets: Uint8Array, index: number): number => octets[index] ?? 0;
const modulusBytes = (key: KeyObject): number => (key.asymmetricKeyDetails?.modulusLength ?? 0) / 8;
