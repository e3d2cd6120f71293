/** One value under one key: AES-256-GCM (SP 800-38D), as it is kept: nonce · ciphertext · tag. */
import { createCipheriv, createDecipheriv, type KeyObject } from "node:crypto";
import { drawn } from "./drawn.ts";

const [nonceBytes, tagBytes] = [12, 16];
const cipherName = "aes-256-gcm";
const options = { authTagLength: tagBytes };

/** Good only with the same `bound`, which is authenticated with it: the place of the value. */
export function sealUnder(key: KeyObject, bound: string, clear: Uint8Array): Uint8Array {
  const nonce = drawn(nonceBytes);
  const cipher = createCipheriv(cipherName, key, nonce, options).setAAD(Buffer.from(bound));
  return Buffer.concat([nonce, cipher.update(clear), cipher.final(), cipher.getAuthTag()]);
}

/** What `sealUnder` sealed; throws where it is not that. */
export function openUnder(key: KeyObject, bound: string, sealed: Uint8Array): Uint8Array {
  if (sealed.length < nonceBytes + tagBytes) throw new RangeError("a sealed value is cut short");
  const decipher = createDecipheriv(cipherName, key, sealed.subarray(0, nonceBytes), options);
  decipher.setAAD(Buffer.from(bound)).setAuthTag(sealed.subarray(-tagBytes));
  return Buffer.concat([decipher.update(sealed.subarray(nonceBytes, -tagBytes)), decipher.final()]);
}
