/** The beginning of a kept instance: its File Meta Information and the first elements of its data set. */
import { openCipher } from "../envelope/index.ts";
import type { BlobName } from "../store/store.ts";
import type { Site } from "./site.ts";

/** Its first verified octets, a mebibyte at most. Rejects as the store and the cipher do. */
export async function headOf({ store }: Pick<Site, "store">, blob: BlobName): Promise<Uint8Array> {
  for await (const chunk of openCipher(store.blobs.read(blob), store.blobs.facts(blob))) return chunk;
  return new Uint8Array();
}
