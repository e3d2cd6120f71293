/**
 * RecipientInfos as ordinary tools write them (RFC 5652 6.2): the two algorithms of this project, but the recipient named by
 * issuer and serial number as well, and NULL where parameters may be absent. Each is turned into the one form that an
 * `Unwrapper` takes; nothing of a RecipientInfo is authenticated, so nothing is lost.
 */
import { Fault } from "../errors.ts";
import { oids } from "./algorithms.ts";
import { type Certificate, readCertificate, serialOf } from "./certificate.ts";
import {
  bitString,
  bitsOf,
  children,
  context,
  cursor,
  type Element,
  integer,
  nothing,
  octetString,
  oid,
  read,
  sequence,
  tag,
  tlv,
} from "./cms/der.ts";
import { maxRecipients } from "./manifest.ts";
import { agreementAlgorithm, ecAlgorithm, oaepAlgorithm } from "./recipient.ts";

/** One wrapped key. */
export type WrappedKey = {
  readonly algorithm: "rsaes-oaep-sha256" | "ecdh-p256-aes256-wrap";
  isFor(certificate: Uint8Array): boolean;
  /** The RecipientInfo that an `Unwrapper` for this subject key identifier (hex) takes. */
  infoFor(ski: string): Uint8Array;
};

const refuse = (what: string): Fault => new Fault("ENVELOPE_NOT_OPENED", `CMS: ${what}`);

const sha256Forms = [sequence(oid(oids.sha256)), sequence(oid(oids.sha256), nothing)];
/** RFC 4055 2.1: parameters of a hash are absent or NULL, and both must be taken. */
const oaepForms = sha256Forms.flatMap((hash) =>
  sha256Forms.map((inner) =>
    sequence(oid(oids.rsaesOaep), sequence(tlv(context(0), hash), tlv(context(1), sequence(oid(oids.mgf1), inner)))),
  ),
);
/** RFC 5753 7.1.2: absent or NULL; Bouncy Castle names the curve. */
const ecForms = [
  ecAlgorithm,
  sequence(oid(oids.ecPublicKey), nothing),
  sequence(oid(oids.ecPublicKey), oid(oids.prime256v1)),
];

/** Every wrapped key of a SET OF RecipientInfo. */
export function readRecipients(set: Uint8Array): readonly WrappedKey[] {
  const found = children(read(set, tag.set)).flatMap((info) => {
    if (info.tag === tag.sequence) return [keyTransport(info)];
    if (info.tag === context(1)) return keyAgreement(info);
    throw refuse("a RecipientInfo of another kind than KTRI and KARI");
  });
  if (found.length === 0 || found.length > maxRecipients)
    throw refuse(`${found.length} recipients instead of 1 to ${maxRecipients}`);
  return found;
}

function keyTransport(info: Element): WrappedKey {
  const fields = cursor(info);
  const version = fields.take(tag.integer, "version");
  const isFor =
    fields.peek()?.tag === tag.sequence
      ? byIssuer(fields.take(tag.sequence, "rid"))
      : bySki(fields.take(context(0, false), "rid"));
  const algorithm = fields.take(tag.sequence, "keyEncryptionAlgorithm");
  const wrapped = fields.take(tag.octetString, "encryptedKey").content;
  fields.end("KeyTransRecipientInfo");
  if (!is(version, integer(isFor.version)))
    throw refuse("a KeyTransRecipientInfo of a version that does not fit its rid");
  if (!oaepForms.some((form) => is(algorithm, form))) throw refuse("RSAES-OAEP with SHA-256 expected");
  return {
    algorithm: "rsaes-oaep-sha256",
    isFor: (certificate) => isFor.test(readCertificate(certificate)),
    infoFor: (ski) =>
      sequence(integer(2), tlv(context(0, false), Buffer.from(ski, "hex")), oaepAlgorithm, octetString(wrapped)),
  };
}

function keyAgreement(info: Element): readonly WrappedKey[] {
  const fields = cursor(info);
  const version = fields.take(tag.integer, "version");
  const originator = cursor(fields.take(context(0), "originator"));
  const key = cursor(originator.take(context(1), "originatorKey"));
  originator.end("originator");
  const isEc = ((algorithm) => ecForms.some((form) => is(algorithm, form)))(key.take(tag.sequence, "algorithm"));
  const point = bitsOf(key.take(tag.bitString, "publicKey"));
  key.end("originatorKey");
  // User keying material would have to enter the derivation; nobody sends it, so it is refused with what does not fit.
  const algorithm = fields.take(tag.sequence, "keyEncryptionAlgorithm without ukm");
  const keys = children(fields.take(tag.sequence, "recipientEncryptedKeys"));
  fields.end("KeyAgreeRecipientInfo");
  if (!is(version, integer(3)) || !isEc || !is(algorithm, agreementAlgorithm))
    throw refuse("an ephemeral P-256 key, dhSinglePass-stdDH-sha256kdf and aes256-wrap expected");
  const from = tlv(context(0), tlv(context(1), ecAlgorithm, bitString(point)));
  return keys.map((each) => {
    const { isFor, wrapped } = encryptedKey(each);
    return {
      algorithm: "ecdh-p256-aes256-wrap",
      isFor: (certificate) => isFor.test(readCertificate(certificate)),
      infoFor: (ski) => {
        const rid = tlv(context(0), octetString(Buffer.from(ski, "hex")));
        const list = sequence(sequence(rid, octetString(wrapped)));
        return tlv(context(1), integer(3), from, agreementAlgorithm, list);
      },
    };
  });
}

function encryptedKey(element: Element): { readonly isFor: Named; readonly wrapped: Uint8Array } {
  if (element.tag !== tag.sequence) throw refuse("a RecipientEncryptedKey expected");
  const fields = cursor(element);
  const named = fields.maybe(context(0));
  const isFor = named
    ? bySki(cursor(named).take(tag.octetString, "subjectKeyIdentifier"))
    : byIssuer(fields.take(tag.sequence, "rid"));
  const wrapped = fields.take(tag.octetString, "encryptedKey").content;
  fields.end("RecipientEncryptedKey");
  return { isFor, wrapped };
}

/** Whom a RecipientInfo or SignerInfo names, and the version of a KeyTransRecipientInfo that names so (RFC 5652 6.2.1). */
export type Named = { readonly version: number; test(certificate: Certificate): boolean };

/** SubjectKeyIdentifier. */
export function bySki({ content }: Element): Named {
  const ski = Buffer.from(content).toString("hex");
  return { version: 2, test: (certificate) => certificate.ski === ski };
}

/** IssuerAndSerialNumber. */
export function byIssuer(element: Element): Named {
  const fields = cursor(element);
  const issuer = fields.take(tag.sequence, "issuer").raw;
  const serial = serialOf(fields.take(tag.integer, "serialNumber"));
  fields.end("IssuerAndSerialNumber");
  const test = (certificate: Certificate): boolean =>
    certificate.serial === serial && Buffer.from(certificate.issuer).equals(issuer);
  return { version: 0, test };
}

const is = ({ raw }: Element, expected: Uint8Array): boolean => Buffer.from(raw).equals(expected);
