/** Who signed: the owner of the certificate, never what the message says of itself. */
import { Fault } from "../errors.ts";
import { type Certificate, readCertificate } from "./certificate.ts";
import { type Trust, validatePath } from "./path.ts";
import { manifestContentType, verifySignedData } from "./signed-data.ts";

/** An organisation, and the profiles that it and we agreed on. */
export type Owner = {
  readonly org: string;
  readonly profiles: readonly string[];
  /** Who else may hand on what it has authored, with its manifest as origin. */
  readonly relays?: readonly string[];
};

export type SignerChecks<O> = {
  readonly trust: Trust;
  /** When the path must hold. */
  readonly at: Date;
  /** When revocation lists must be current; the same as `at` unless a mark dates an older signature. */
  readonly now: Date;
  /**
   * Of what was signed earlier: as of when a certificate that has ended by now is judged. A revocation counts then whenever it came,
   * since the date is the signer's own (decision 35).
   */
  readonly endedAsOf?: Date | undefined;
  /** Owner of a signing certificate (SHA-256, hex). The certificate itself proves nothing yet. */
  partner(certificateSha256: string, certificate: Certificate): O | undefined;
};

export type VerifiedSigner = { readonly owner: Owner; readonly certificate: Certificate; readonly signingTime: Date };

/** Signature, owner, key usage and path of a manifest's detached signature; ENVELOPE_NOT_OPENED with the cause. */
export function verifySigner(manifest: Uint8Array, signature: Uint8Array, checks: SignerChecks<Owner>): VerifiedSigner {
  const { signer, certificates, signingTime } = verifySignedData(signature, manifestContentType, manifest);
  return { ...trustedOwner(signer, certificates, checks), signingTime };
}

const signing: readonly string[] = ["digitalSignature", "nonRepudiation"];
const wrapping: readonly string[] = ["keyEncipherment", "keyAgreement"];

/** What is said of a certificate that is not known: once it is, what was refused for it may be asked again. */
export const ofNobody = (sha256: string): string => `certificate ${sha256.slice(0, 8)} belongs to no partner`;

/** Whose certificate this is, if it may sign records and its path holds; ENVELOPE_NOT_OPENED otherwise. */
export function trustedOwner<O>(
  signer: Uint8Array,
  certificates: readonly Uint8Array[],
  { trust, at, now, endedAsOf, partner }: SignerChecks<O>,
): { readonly owner: O; readonly certificate: Certificate } {
  try {
    const certificate = readCertificate(signer);
    const owner = partner(certificate.sha256, certificate);
    if (!owner) throw new Fault("CERTIFICATE_INVALID", ofNobody(certificate.sha256));
    if (!isForSigning(certificate))
      throw new Fault("CERTIFICATE_INVALID", `certificate ${certificate.sha256.slice(0, 8)} is not for signing`);
    if (endedAsOf && certificate.notAfter < now) validatePath(signer, certificates, trust, endedAsOf, now, now);
    else validatePath(signer, certificates, trust, at, now);
    return { owner, certificate };
  } catch (cause) {
    throw new Fault(
      "ENVELOPE_NOT_OPENED",
      `signature: ${cause instanceof Fault ? cause.message : "its certificate cannot be read"}`,
      { cause },
    );
  }
}

/** digitalSignature or nonRepudiation, nothing that wraps keys, and no extended key usage at all (RFC 5280 4.2.1.3, 4.2.1.12). */
const isForSigning = ({ keyUsage, extendedKeyUsage }: Certificate): boolean =>
  (keyUsage ?? []).some((usage) => signing.includes(usage)) &&
  !(keyUsage ?? []).some((usage) => wrapping.includes(usage)) &&
  extendedKeyUsage.length === 0;
