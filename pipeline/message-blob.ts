/** The octets of a message: gathered from the wire, kept sealed beside its row, and read again. */
import { sealOctets, sealWhole } from "../envelope/index.ts";
import { Fault } from "../errors.ts";
import { giveBack } from "../memory.ts";
import type { BlobName, Id, StagedBlob, Store } from "../store/store.ts";
import { clearPieces } from "./clear.ts";

/** Whole messages are held while they are read; the connector's own limit is lower. */
const maxMessageBytes = 256 * 1024 * 1024;
/** What the store keeps with its row; more is a file. */
const maxOwnBytes = 64 * 1024;

/** All of a body; TOO_LARGE for one that no connector would have let through. */
export async function collect(body: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of body) {
    size += part.length;
    if (size > maxMessageBytes) throw new Fault("TOO_LARGE", `the message is over ${maxMessageBytes} octets`);
    parts.push(part);
  }
  return parts.length === 1 && parts[0] ? parts[0] : Buffer.concat(parts, size);
}

/** Sealed for the store, under this id where it is small: no two messages are alike. `sha256` is known of what is kept as it came. */
export async function stageMessage(
  { blobs }: Pick<Store, "blobs">,
  id: Id,
  bytes: Uint8Array,
  sha256?: string,
): Promise<StagedBlob> {
  if (bytes.length <= maxOwnBytes) {
    const { cipher, facts } = sealOctets(bytes, sha256);
    return blobs.own(id, cipher, facts);
  }
  const part = sealWhole(bytes);
  return await blobs.put(givenBack(part.cipher), part.facts);
}

/**
 * Ciphertext that nobody else sees, for a store that copies it: the memory of each piece is given back when the next is asked
 * for. A collection would come tens of megabytes later.
 */
export async function* givenBack(cipher: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const piece of cipher) {
    yield piece;
    giveBack(piece);
  }
}

/** The octets of a message as it is kept; STORE_DAMAGED when they are not what they were. */
export const readMessage = (store: Pick<Store, "blobs">, name: BlobName): Promise<Uint8Array> =>
  collect(clearPieces({ store }, name));
