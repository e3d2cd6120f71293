/** Who signed: the owner of the certificate, never what the message says of itself. */
import { Fault } from "../errors.ts";
import { type Certificate, readCertificate } from "./certificate.ts";
import { type Trust, validatePath } from "./path.ts";
import { manifestContentType, verifySignedData } from "./signed-data.ts";

export type Owner = { readonly org: string; readonly profiles: readonly string[] };

export type SignerChecks = {
  readonly trust: Trust;
  /** When the path must hold. */
  readonly at: Date;
  /** When revocation lists must be current; the same as `at` unless a mark dates an older signature. */
  readonly now: Date;
  partner(certificateSha256: string): Owner | undefined;
};

const signing: readonly string[] = ["digitalSignature", "nonRepudiation"];
const wrapping: readonly string[] = ["keyEncipherment", "keyAgreement"];

/** May sign records: digitalSignature or nonRepudiation, nothing that wraps keys, and no extended key usage at all. */
export const isSigningCertificate = ({ keyUsage, extendedKeyUsage }: Certificate): boolean => {
  const usages = keyUsage ?? [];
  const signs = usages.some((usage) => signing.includes(usage));
  return signs && !usages.some((usage) => wrapping.includes(usage)) && extendedKeyUsage.length === 0;
};

/** Signature, owner, key usage and path of a detached manifest signature; ENVELOPE_NOT_OPENED with the cause. */
export function verifySigner(
  manifest: Uint8Array,
  signature: Uint8Array,
  { trust, at, now, partner }: SignerChecks,
): { readonly owner: Owner; readonly certificate: Certificate; readonly signingTime: Date } {
  const { signer, certificates, signingTime } = verifySignedData(signature, manifestContentType, manifest);
  const certificate = readCertificate(signer);
  const owner = partner(certificate.sha256);
  if (!owner)
    throw new Fault(
      "ENVELOPE_NOT_OPENED",
      `signature: certificate ${certificate.sha256.slice(0, 8)} belongs to no partner`,
    );
  if (!isSigningCertificate(certificate))
    throw new Fault("ENVELOPE_NOT_OPENED", "signature: the certificate is not for signing");
  try {
    validatePath(signer, certificates, trust, at, now);
  } catch (cause) {
    throw new Fault("ENVELOPE_NOT_OPENED", `signature: ${(cause as Error).message}`, { cause });
  }
  return { owner, certificate, signingTime };
}
