/**
 * The primitives of node:crypto behind wrappers that take exactly what this format uses: what the primitive itself would let pass
 * (short tags, keys of another length, points off the curve) is refused here, once.
 */
import {
  type CipherGCM,
  constants,
  createCipheriv,
  createDecipheriv,
  createPublicKey,
  createSecretKey,
  type DecipherGCM,
  diffieHellman,
  generateKeyPairSync,
  type KeyObject,
  privateDecrypt,
  publicEncrypt,
  verify,
} from "node:crypto";
import { isRsaSize, type SignatureAlgorithm } from "./algorithms.ts";

const keyBytes = 32;
const nonceBytes = 12;
const tagBytes = 16;
const pointBytes = 65;
const pssSaltBytes = 32;
/** SubjectPublicKeyInfo of a key on P-256 up to its uncompressed point (RFC 5480 2). */
const spkiBefore = Buffer.from("3059301306072a8648ce3d020106082a8648ce3d030107034200", "hex");
/** RFC 3394 2.2.3.1: the initial value by which a wrong key is noticed. */
const wrapIv = Buffer.alloc(8, 0xa6);

/** Octets, or the same as an object, for a key that serves several calls. */
export type Key = Uint8Array | KeyObject;
/** Given octets, a cipher makes a key object by a way that takes 10 µs, longer than a small part; this takes less than one. */
const objectOf = (key: Key): KeyObject => (key instanceof Uint8Array ? createSecretKey(key) : key);
const sizeOf = (key: Key): number => (key instanceof Uint8Array ? key.length : (key.symmetricKeySize ?? 0));

/** AES-256-KW (RFC 3394) of a key of 32 octets: 40 octets. */
export function wrapKey(kek: Key, key: Uint8Array): Uint8Array {
  const cipher = createCipheriv("id-aes256-wrap", objectOf(kek), wrapIv);
  return Buffer.concat([cipher.update(key), cipher.final()]);
}

/** The 32 octets that 40 wrap; throws for any other length, which the primitive would take, and for a wrong key. */
export function unwrapKey(kek: Key, wrapped: Uint8Array): Uint8Array {
  if (sizeOf(kek) !== keyBytes || wrapped.length !== keyBytes + 8) throw new Error("not a wrapped key of 32 octets");
  const decipher = createDecipheriv("id-aes256-wrap", objectOf(kek), wrapIv);
  return Buffer.concat([decipher.update(wrapped), decipher.final()]);
}

/** AES-256-GCM for reading: a nonce of 12 octets and, before `final`, a tag of 16 (the primitive would take 4). */
export function gcmDecipher(key: Key, nonce: Uint8Array): DecipherGCM {
  if (sizeOf(key) !== keyBytes || nonce.length !== nonceBytes)
    throw new Error("not a key of 32 and a nonce of 12 octets");
  return createDecipheriv("aes-256-gcm", objectOf(key), nonce, { authTagLength: tagBytes });
}

/** The clear text of octets that are at hand, with their tag of 16; throws when it does not hold. */
export function gcmOpen(
  key: Key,
  nonce: Uint8Array,
  octets: Uint8Array,
  tag: Uint8Array,
  additional?: Uint8Array,
): Buffer {
  const decipher = gcmDecipher(key, nonce).setAuthTag(tag);
  if (additional) decipher.setAAD(additional);
  const clear = decipher.update(octets);
  // GCM keeps nothing back: the end is the check.
  decipher.final();
  return clear;
}

/** AES-256-GCM for writing: the tag has 16 octets. */
export const gcmCipher = (key: Key, nonce: Uint8Array): CipherGCM =>
  createCipheriv("aes-256-gcm", objectOf(key), nonce, { authTagLength: tagBytes });

/** RSAES-OAEP with SHA-256, MGF1 with SHA-256, no label (RFC 8017 7.1). */
export const oaepEncrypt = (publicKey: KeyObject, clear: Uint8Array): Uint8Array =>
  publicEncrypt({ key: publicKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" }, clear);

/** Throws when it does not open. */
export const oaepDecrypt = (privateKey: KeyObject, wrapped: Uint8Array): Uint8Array =>
  privateDecrypt({ key: privateKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" }, wrapped);

/** ECDH on P-256 with an uncompressed point (SEC 1 2.3.3); throws for one that is not on the curve. */
export function agreeOn(privateKey: KeyObject, point: Uint8Array): Uint8Array {
  if (point.length !== pointBytes || point[0] !== 4) throw new Error("not an uncompressed P-256 point");
  const spki = Buffer.concat([spkiBefore, point]).toString("base64");
  // Importing checks that the point is on the curve. As PEM: other forms are told apart by errors that node:crypto throws and catches.
  const publicKey = createPublicKey(`-----BEGIN PUBLIC KEY-----\n${spki}\n-----END PUBLIC KEY-----`);
  return diffieHellman({ privateKey, publicKey });
}

/** ECDH on P-256 of a key pair that is drawn for it with a public key: the secret, and the drawn key's uncompressed point. */
export function agreeOnce(publicKey: KeyObject): { readonly secret: Uint8Array; readonly point: Uint8Array } {
  // A pair is drawn in less time than a thread of the pool is asked for one.
  const drawn = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
  const { x = "", y = "" } = drawn.publicKey.export({ format: "jwk" });
  const point = Buffer.concat([Uint8Array.of(4), Buffer.from(x, "base64url"), Buffer.from(y, "base64url")]);
  return { secret: diffieHellman({ privateKey: drawn.privateKey, publicKey }), point };
}

/** Whether this is a signature by this key: DER for ECDSA, a salt of 32 octets for RSA-PSS. */
export function isSignedBy(
  algorithm: SignatureAlgorithm,
  signed: Uint8Array,
  signature: Uint8Array,
  publicKey: KeyObject,
): boolean {
  // DER is what ECDSA has without options; a key within options is told from one by errors that node:crypto throws and catches.
  if (algorithm === "ecdsa-p256-sha256") return verify("sha256", signed, publicKey, signature);
  if (algorithm === "ed25519") return verify(null, signed, publicKey, signature);
  if (!isRsaSize(publicKey.asymmetricKeyDetails?.modulusLength)) return false;
  const key = { key: publicKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: pssSaltBytes };
  return verify("sha256", signed, key, signature);
}
