/**
 * What no honest writer makes. Ciphertext that opens under two keys: AES-GCM commits to no key, so one block can be chosen such that both tags are the same
 * (Dodis et al., "Fast Message Franking: From Invisible Salamanders to Encryptment", 2018).
 */
import { createCipheriv } from "node:crypto";

const blockBytes = 16;
/** x^128 + x^7 + x^2 + x + 1 in the bit order of GCM (NIST SP 800-38D 6.3). */
const reduction = 0xe1n << 120n;

const element = (octets: Uint8Array): bigint => BigInt(`0x${Buffer.from(octets).toString("hex")}`);
const octetsOf = (value: bigint): Buffer => Buffer.from(value.toString(16).padStart(2 * blockBytes, "0"), "hex");

function times(x: bigint, y: bigint): bigint {
  let [product, shifted] = [0n, y];
  for (let bit = 127n; bit >= 0n; bit -= 1n) {
    if ((x >> bit) & 1n) product ^= shifted;
    shifted = shifted & 1n ? (shifted >> 1n) ^ reduction : shifted >> 1n;
  }
  return product;
}

/** x^(2^128 − 2). */
function inverse(x: bigint): bigint {
  let [result, square] = [1n << 127n, x];
  for (let bit = 1; bit < 128; bit += 1) {
    square = times(square, square);
    result = times(result, square);
  }
  return result;
}

const block = (key: Uint8Array, octets: Uint8Array): bigint => {
  const cipher = createCipheriv("aes-256-ecb", key, null).setAutoPadding(false);
  return element(cipher.update(octets));
};

/**
 * The ciphertext of `clear` (whole blocks) under `one`, its last block chosen so that its tag holds under `other` as well.
 * What the last block opens to is anything.
 */
export function underTwoKeys(clear: Uint8Array, nonce: Uint8Array, one: Uint8Array, other: Uint8Array) {
  const plain = createCipheriv("aes-256-gcm", one, nonce, { authTagLength: blockBytes });
  const cipher = Buffer.from(plain.update(clear));
  const blocks = cipher.length / blockBytes;
  const lengths = Buffer.alloc(blockBytes);
  lengths.writeBigUInt64BE(BigInt(cipher.length) * 8n, 8);
  /** The tag but for the last block's share, and the factor of that. */
  const under = (key: Uint8Array) => {
    const h = block(key, Buffer.alloc(blockBytes));
    let hash = 0n;
    for (let at = 0; at < blocks - 1; at += 1)
      hash = times(hash ^ element(cipher.subarray(at * blockBytes, (at + 1) * blockBytes)), h);
    const factor = times(h, h);
    const mask = block(key, Buffer.concat([nonce, Uint8Array.of(0, 0, 0, 1)]));
    // The last block and the lengths are still to be multiplied in.
    return { factor, rest: times(hash, factor) ^ times(element(lengths), h) ^ mask };
  };
  const [first, second] = [under(one), under(other)];
  const last = times(first.rest ^ second.rest, inverse(first.factor ^ second.factor));
  octetsOf(last).copy(cipher, cipher.length - blockBytes);
  return { cipher, tag: octetsOf(times(last, first.factor) ^ first.rest) };
}

/** AES-256-KW (RFC 3394 2.2.1) of a key of any number of whole eights, one included, which OpenSSL opens and does not make. */
export function wrapOf(kek: Uint8Array, key: Uint8Array): Buffer {
  let integrity: Buffer = Buffer.alloc(8, 0xa6);
  const eights: Buffer[] = Array.from({ length: key.length / 8 }, (_, at) =>
    Buffer.from(key.subarray(at * 8, at * 8 + 8)),
  );
  for (let round = 0; round < 6; round += 1)
    for (const [at, eight] of eights.entries()) {
      const wrapped = octetsOf(block(kek, Buffer.concat([integrity, eight])));
      integrity = wrapped.subarray(0, 8);
      integrity.writeUInt32BE((integrity.readUInt32BE(4) ^ (round * eights.length + at + 1)) >>> 0, 4);
      eights[at] = wrapped.subarray(8);
    }
  return Buffer.concat([integrity, ...eights]);
}
