/** Signatures of a site itself, of whatever age: checkpoints and receipts are kept for longer than a certificate lasts. */
import { readCertificate } from "./certificate.ts";
import { type Trust, validatePath } from "./path.ts";

export type Signature = {
  readonly signer: Uint8Array;
  readonly certificates: readonly Uint8Array[];
  readonly signingTime: Date;
};

/**
 * Whether it is of one of these certificates (DER), or of one before the first: of the same name, from an authority that was trusted
 * when it was signed. Rejects with the fault of its path.
 */
export function isOwnSignature(
  own: readonly Uint8Array[],
  anchors: Trust["anchors"],
  { signer, certificates, signingTime }: Signature,
): boolean {
  const certificate = readCertificate(signer);
  const known = own.map(readCertificate);
  if (known.some(({ sha256 }) => sha256 === certificate.sha256)) return true;
  if (known[0]?.subjectText !== certificate.subjectText) return false;
  validatePath(signer, certificates, { anchors, crls: [], revocation: "skip" }, signingTime);
  return true;
}
