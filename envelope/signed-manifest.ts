/** A manifest with its detached signature, as one value: what is kept of an envelope as evidence. */
import { Fault } from "../errors.ts";

export type SignedManifest = { readonly manifest: Uint8Array; readonly signature: Uint8Array };

/** The manifest's length in four octets, the manifest, the signature. */
export function packSigned({ manifest, signature }: SignedManifest): Uint8Array {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(manifest.length);
  return Buffer.concat([length, manifest, signature]);
}

/** What `packSigned` packed; STORE_DAMAGED for anything else. */
export function unpackSigned(packed: Uint8Array): SignedManifest {
  const octets = Buffer.from(packed);
  const end = octets.length < 4 ? Number.POSITIVE_INFINITY : 4 + octets.readUInt32BE();
  if (end > octets.length)
    throw new Fault("STORE_DAMAGED", "a signed manifest is cut short; restore the data folder from a backup");
  return { manifest: octets.subarray(4, end), signature: octets.subarray(end) };
}
