/** What must hold of one certificate of a path, and of one beside its issuer (RFC 5280 6.1.3 (a), 6.1.4 (k) to (o)). */
import { verify } from "node:crypto";
import { Fault } from "../errors.ts";
import { certificateSignatures, isRsaSize, oids } from "./algorithms.ts";
import type { Certificate } from "./certificate.ts";

/** Processed by path validation, or by who uses the certificate afterwards (key usage). */
const understood = new Set<string>([
  oids.basicConstraints,
  oids.keyUsage,
  oids.extendedKeyUsage,
  oids.subjectAltName,
  oids.subjectKeyIdentifier,
  oids.authorityKeyIdentifier,
  oids.certificatePolicies,
  oids.policyMappings,
  oids.policyConstraints,
  oids.inhibitAnyPolicy,
  oids.nameConstraints,
  oids.crlDistributionPoints,
]);
const maxSerialHex = 40;

export const refuse = (what: string, cause?: Fault): Fault =>
  new Fault("CERTIFICATE_INVALID", what, cause ? { cause } : {});

export function checkMayIssue({ isCa, keyUsage, subjectText, publicKey }: Certificate): void {
  if (!isCa) throw refuse(`${subjectText} issued a certificate and is no CA`);
  if (keyUsage && !keyUsage.includes("keyCertSign")) throw refuse(`${subjectText} may not sign certificates`);
  checkKey(publicKey, subjectText);
}

export function checkSound(certificate: Certificate, at: Date): void {
  checkInTime(certificate, at);
  for (const { id, isCritical } of certificate.extensions) {
    if (isCritical && !understood.has(id))
      throw refuse(`${certificate.subjectText} has a critical extension that is not understood (${id})`);
  }
  if (certificate.serial.length > maxSerialHex)
    throw refuse(`${certificate.subjectText} has a serial number of more than 20 octets`);
  checkKey(certificate.publicKey, certificate.subjectText);
}

export function checkInTime({ notBefore, notAfter, subjectText }: Certificate, at: Date): void {
  if (at < notBefore) throw refuse(`${subjectText} is not valid before ${notBefore.toISOString()}`);
  if (at > notAfter) throw refuse(`${subjectText} expired at ${notAfter.toISOString()}`);
}

/** Two authorities, or two keys of one, can have the same name: the identifiers tell them apart (RFC 5280 4.2.1.1). */
export const namesOtherKey = (subject: Certificate, issuer: Certificate): boolean =>
  subject.aki !== null &&
  subject.aki !== issuer.ski &&
  issuer.extensions.some(({ id }) => id === oids.subjectKeyIdentifier);

export function checkIssuedBy(subject: Certificate, issuer: Certificate): void {
  const algorithm = certificateSignatures[subject.signatureAlgorithm];
  if (!algorithm || algorithm.key !== issuer.publicKey.asymmetricKeyType)
    throw refuse(`${subject.subjectText} is signed with an algorithm that is not accepted`);
  if (!verify(algorithm.hash, subject.tbs, issuer.publicKey, subject.signature))
    throw refuse(`the signature on ${subject.subjectText} does not verify`);
}

function checkKey(
  { asymmetricKeyType: type, asymmetricKeyDetails: details }: Certificate["publicKey"],
  whose: string,
): void {
  if (type === "ec" || type === "ed25519") return;
  const isFit = type === "rsa" && isRsaSize(details?.modulusLength) && (details?.publicExponent ?? 0n) >= 65537n;
  if (!isFit) throw refuse(`the key of ${whose} is too weak or of a kind not used here`);
}

/** What cannot be read helps no path; it is no reason to refuse the leaf. */
export const readable = <T>(ders: readonly Uint8Array[], reader: (der: Uint8Array) => T): readonly T[] =>
  ders.flatMap((der) => {
    try {
      return [reader(der)];
    } catch {
      return [];
    }
  });
