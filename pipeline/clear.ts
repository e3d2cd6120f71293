/** The clear text of a blob, verified to its last octet; STORE_DAMAGED or ENVELOPE_NOT_OPENED when it is not what it was. */
import { openCipher } from "../envelope/index.ts";
import type { BlobName, Store } from "../store/store.ts";

type Kept = { readonly store: Pick<Store, "blobs"> };

/** As it is deciphered, a mebibyte at a time. */
export const clearPieces = ({ store: { blobs } }: Kept, name: BlobName): AsyncIterable<Uint8Array> =>
  openCipher(blobs.read(name), blobs.facts(name));

/** All of one that is small enough to be held. */
export const clear = async (kept: Kept, name: BlobName): Promise<Uint8Array> =>
  Buffer.concat(await Array.fromAsync(clearPieces(kept, name)));

/** As much of one as its first piece has: the File Meta Information of an instance and the first elements of its data set. */
export async function clearHead(kept: Kept, name: BlobName): Promise<Uint8Array> {
  for await (const piece of clearPieces(kept, name)) return piece;
  return new Uint8Array();
}
