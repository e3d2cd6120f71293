/** The clear text of a blob that is small enough to be held. */
import { openCipher } from "../envelope/index.ts";
import type { BlobName } from "../store/store.ts";
import type { Site } from "./site.ts";

/** Verified to its last octet; STORE_DAMAGED or ENVELOPE_NOT_OPENED when it is not what it was. */
export async function clear({ store }: Pick<Site, "store">, name: BlobName): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of openCipher(store.blobs.read(name), store.blobs.facts(name))) parts.push(part);
  return Buffer.concat(parts);
}
