/**
 * What a data folder is sealed under: a key of its own, drawn when the folder is made, that rests in it sealed under `storage.key`.
 * Another storage key is another seal around it, and nothing else is sealed anew (decision 45).
 */
import { randomBytes } from "node:crypto";
import { Fault } from "../errors.ts";
import { keyBytes, type StorageKeys, storageKeys } from "./keys.ts";
import { change, type Database, type Row } from "./sqlite.ts";
import type { Change } from "./store.ts";

/** `next key`: the same under a storage key that was not in its place yet when the folder was closed. */
export const keySql = "SELECT name, value FROM meta WHERE name IN ('key', 'next key') ORDER BY name";
/** What a folder of before decision 45 has in place of a key: it is sealed under `storage.key` itself. */
const checkText = "semrs";
const where = "meta\0key\0value";

export type FolderKeys = {
  readonly keys: StorageKeys;
  /** Octets of the folder's own key; undefined for a folder of before. */
  readonly own: Uint8Array | undefined;
  /** The row that the storage key has opened. */
  readonly name: string;
};

/** Undefined where there is no row yet. CONFIG_INVALID where the rows open under another storage key. */
export function openFolderKeys(rows: readonly Row[], key: Uint8Array, folder: string): FolderKeys | undefined {
  if (rows.length === 0) return undefined;
  const under = storageKeys(key);
  for (const { name, value } of rows) {
    const clear = opened(under, value as Uint8Array);
    if (clear?.length === keyBytes) return { keys: storageKeys(clear), own: clear, name: String(name) };
    if (clear?.toString() === checkText) return { keys: under, own: undefined, name: String(name) };
  }
  throw new Fault(
    "CONFIG_INVALID",
    `storage.key is not the key of ${folder}; restore storage.key from its backup: where this one was made anew, the folder's own is missing`,
  );
}

/** The folder's own key, for a row. */
export const sealFolderKey = (key: Uint8Array, own: Uint8Array): Uint8Array => storageKeys(key).seal(where, own);

/** The keys of a folder that is opened, and what is to be committed first: its own key, or the row that has become the one. */
export function keysOf(
  db: Pick<Database, "all">,
  key: Uint8Array,
  folder: string,
): { readonly keys: StorageKeys; readonly changes: readonly Change[] } {
  const found = openFolderKeys(db.all(keySql), key, folder);
  if (found) return { keys: found.keys, changes: found.name === "key" ? [] : settled.map((sql) => change(sql)) };
  const own = randomBytes(keyBytes);
  const sql = "INSERT INTO meta (name, value) VALUES ('key', ?)";
  return { keys: storageKeys(own), changes: [change(sql, sealFolderKey(key, own))] };
}

/** The next key is the key. Over the row that is there: what it was is not left in the page. */
export const settled = [
  "UPDATE meta SET value = (SELECT value FROM meta WHERE name = 'next key') WHERE name = 'key'",
  "DELETE FROM meta WHERE name = 'next key'",
] as const;

function opened(keys: StorageKeys, value: Uint8Array): Buffer | undefined {
  try {
    return Buffer.from(keys.open(where, value));
  } catch {
    return undefined;
  }
}
