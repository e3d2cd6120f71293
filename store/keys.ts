/** What is derived from the key of a data folder: sealing of rows, wrapping of CEKs, tokens, blob names (HKDF-SHA256). */
import { createCipheriv, createDecipheriv, createHmac, createSecretKey, hkdfSync } from "node:crypto";
import { Fault } from "../errors.ts";
import { openUnder, sealUnder } from "./cipher.ts";
import type { Tokens } from "./store.ts";

/** RFC 3394 2.2.3.1, the default initial value. */
const wrapIv = Buffer.alloc(8, 0xa6);
/** Tokens carry the version of the key that made them, so that a rotation can tell old from new. */
const tokenVersion = "1";
/** Tokens that are remembered: those of one study or patient are asked for with each of its instances. */
const maxRecent = 512;

export type StorageKeys = {
  readonly tokens: Tokens;
  /** AES-256-GCM under the row key; `where` (table 00 id 00 column) is authenticated. */
  seal(where: string, clear: Uint8Array): Uint8Array;
  /** STORE_DAMAGED when the value was changed or moved to another row. */
  open(where: string, sealed: Uint8Array): Uint8Array;
  wrap(cek: Uint8Array): Uint8Array;
  unwrap(wrapped: Uint8Array): Uint8Array;
  blobName(form: "whole" | "segments", digest: string): string;
};

/** Where a question was left, sealed under the site's key: whoever holds it can neither read nor change it. */
export type Cursors = {
  /** As text of a few letters and digits, good only with the same `bound`. */
  seal(bound: string, place: unknown): string;
  /** Undefined for a text that was not sealed here, or not for this. */
  open(bound: string, text: string): unknown;
};

/** Cursors under these keys. */
export const openCursors = (keys: StorageKeys): Cursors => ({
  seal: (bound, place) =>
    Buffer.from(keys.seal(`cursor\0${bound}`, Buffer.from(JSON.stringify(place)))).toString("base64url"),
  open: (bound, text) => {
    try {
      return JSON.parse(Buffer.from(keys.open(`cursor\0${bound}`, Buffer.from(text, "base64url"))).toString("utf8"));
    } catch {
      return undefined;
    }
  },
});

/** Octets of a storage key, and of a folder's own. */
export const keyBytes = 32;

/** Of a folder's own key; of `storage.key`, which lives outside the data folder and its backups, to seal that one (`folder-key.ts`). */
export function storageKeys(key: Uint8Array): StorageKeys {
  if (key.length !== keyBytes) throw new Fault("CONFIG_INVALID", "the storage key must be 32 octets");
  // As key objects: given octets, each call would make one of its own, which takes longer than the cipher.
  const derive = (info: string) =>
    createSecretKey(Buffer.from(hkdfSync("sha256", key, new Uint8Array(), `semrs-store/${info}`, 32)));
  const [rowKey, wrapKey, tokenKey, blobKey] = [derive("row"), derive("wrap"), derive("token"), derive("blob")];
  const recent = new Map<string, string>();
  const token = (named: string): string => {
    const known = recent.get(named);
    if (known !== undefined) return known;
    const made = tokenVersion + createHmac("sha256", tokenKey).update(named).digest("hex").slice(0, 48);
    if (recent.size >= maxRecent) recent.clear();
    recent.set(named, made);
    return made;
  };
  return {
    tokens: { of: (label, system, value) => token(`${label}\0${system}\0${value}`) },
    seal: (where, clear) => sealUnder(rowKey, where, clear),
    open: (where, sealed) => {
      try {
        return openUnder(rowKey, where, sealed);
      } catch (cause) {
        const [table] = where.split("\0");
        throw new Fault(
          "STORE_DAMAGED",
          `a sealed value of table ${table} does not open; restore the data folder from a backup`,
          { cause },
        );
      }
    },
    wrap: (cek) => {
      const cipher = createCipheriv("id-aes256-wrap", wrapKey, wrapIv);
      return Buffer.concat([cipher.update(cek), cipher.final()]);
    },
    unwrap: (wrapped) => {
      try {
        const decipher = createDecipheriv("id-aes256-wrap", wrapKey, wrapIv);
        return Buffer.concat([decipher.update(wrapped), decipher.final()]);
      } catch (cause) {
        throw new Fault("STORE_DAMAGED", "the key of a blob does not unwrap; restore the data folder from a backup", {
          cause,
        });
      }
    },
    blobName: (form, digest) => createHmac("sha256", blobKey).update(`${form}\0${digest}`).digest("hex").slice(0, 48),
  };
}
