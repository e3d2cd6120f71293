/**
 * CMS SignedData (RFC 5652 5) as semrs-2 writes and reads it: version 3, one signer, five signed attributes all mandatory,
 * DER throughout. The signature is checked here; the signer's certificate path is checked by `path.ts`.
 */
import { createHash } from "node:crypto";
import { Fault } from "../errors.ts";
import { oids, type SignatureAlgorithm, signatureAlgorithms } from "./algorithms.ts";
import { type Certificate, readCertificate } from "./certificate.ts";
import {
  children,
  context,
  cursor,
  type Element,
  integer,
  numberOf,
  octetString,
  oid,
  oidOf,
  read,
  sequence,
  setOf,
  tag,
  time,
  timeOf,
  tlv,
} from "./cms/der.ts";
import { algorithmOf, type Signer } from "./keys.ts";
import { isSignedBy } from "./primitives.ts";

export { manifestContentType, receiptContentType } from "./algorithms.ts";

const maxCertificates = 16;
const pssSaltBytes = 32;

export const digestAlgorithm = { sha256: sequence(oid(oids.sha256)), sha512: sequence(oid(oids.sha512)) } as const;
/** AlgorithmIdentifier of each signature (RFC 5754 3.3, RFC 4056 3, RFC 8419 3). */
const signatureIdentifier: Readonly<Record<SignatureAlgorithm, Uint8Array>> = {
  "ecdsa-p256-sha256": sequence(oid(oids.ecdsaWithSha256)),
  "rsa-pss-sha256": sequence(
    oid(oids.rsassaPss),
    sequence(
      tlv(context(0), digestAlgorithm.sha256),
      tlv(context(1), sequence(oid(oids.mgf1), digestAlgorithm.sha256)),
      tlv(context(2), integer(pssSaltBytes)),
    ),
  ),
  ed25519: sequence(oid(oids.ed25519)),
};

const refuse = (what: string): Fault => new Fault("ENVELOPE_NOT_OPENED", `signature: ${what}`);

/** A signature over octets that travel elsewhere. */
export const signDetached = (content: Uint8Array, contentType: string, signer: Signer, at: Date): Promise<Uint8Array> =>
  signData(content, contentType, signer, at, sequence(oid(contentType)));

/** A signature that carries what it signs. */
export const signAttached = (content: Uint8Array, contentType: string, signer: Signer, at: Date): Promise<Uint8Array> =>
  signData(content, contentType, signer, at, sequence(oid(contentType), tlv(context(0), octetString(content))));

async function signData(
  content: Uint8Array,
  contentType: string,
  signer: Signer,
  at: Date,
  encapsulated: Uint8Array,
): Promise<Uint8Array> {
  const { digest } = signatureAlgorithms[signer.algorithm];
  const signature = await signatureOver(createHash(digest).update(content).digest(), contentType, signer, at);
  const body = sequence(integer(3), signature.digests, encapsulated, signature.trailer);
  return sequence(oid(oids.signedData), tlv(context(0), body));
}

/** What stands before and after the content of a SignedData of version 3, from the content's digest alone. */
export async function signatureOver(
  digest: Uint8Array,
  contentType: string,
  signer: Signer,
  at: Date,
): Promise<{ readonly digests: Uint8Array; readonly trailer: Uint8Array }> {
  const hashed = digestAlgorithm[signatureAlgorithms[signer.algorithm].digest];
  const identifier = signatureIdentifier[signer.algorithm];
  const certificate = readCertificate(signer.certificate);
  const attributes = [
    attribute(oids.contentType, oid(contentType)),
    attribute(oids.messageDigest, octetString(digest)),
    attribute(oids.signingTime, time(at)),
    attribute(oids.signingCertificateV2, signingCertificate(certificate)),
    attribute(oids.cmsAlgorithmProtection, algorithmProtection(hashed, identifier)),
  ];
  // Signed as a SET OF, sent under [0] (RFC 5652 5.4).
  const signed = setOf(...attributes);
  const signature = await signer.sign(signed);
  const signerInfo = sequence(
    integer(3),
    tlv(context(0, false), Buffer.from(certificate.ski, "hex")),
    hashed,
    retag(signed, context(0)),
    identifier,
    octetString(signature),
  );
  const certificates = retag(setOf(signer.certificate, ...signer.chain), context(0));
  return { digests: setOf(hashed), trailer: Buffer.concat([certificates, setOf(signerInfo)]) };
}

const attribute = (type: string, value: Uint8Array): Uint8Array => sequence(oid(type), setOf(value));
export const retag = (element: Uint8Array, tagOctet: number): Uint8Array =>
  Buffer.concat([Uint8Array.of(tagOctet), element.subarray(1)]);
/** SigningCertificateV2 with one ESSCertIDv2; SHA-256 is its DEFAULT and not written (RFC 5035 4). */
const signingCertificate = ({ sha256 }: Certificate): Uint8Array =>
  sequence(sequence(sequence(octetString(Buffer.from(sha256, "hex")))));
/** CMSAlgorithmProtection (RFC 6211 2): digest, and [1] signature algorithm. */
const algorithmProtection = (digest: Uint8Array, identifier: Uint8Array): Uint8Array =>
  sequence(digest, retag(identifier, context(1)));

export type VerifiedData = {
  readonly content: Uint8Array;
  /** DER of the signing certificate: whose it is, and whether its path holds, is still to be asked. */
  readonly signer: Uint8Array;
  readonly certificates: readonly Uint8Array[];
  readonly signingTime: Date;
};

/** Verifies one signature; `detached` is the content of a signature that carries none. ENVELOPE_NOT_OPENED says why not. */
export function verifySignedData(signedData: Uint8Array, contentType: string, detached?: Uint8Array): VerifiedData {
  try {
    return check(signedData, contentType, detached);
  } catch (cause) {
    if (cause instanceof Fault && cause.code === "ENVELOPE_NOT_OPENED") throw cause;
    throw new Fault("ENVELOPE_NOT_OPENED", `signature: ${cause instanceof Fault ? cause.message : "not readable"}`, {
      cause,
    });
  }
}

function check(signedData: Uint8Array, contentType: string, detached: Uint8Array | undefined): VerifiedData {
  const info = cursor(read(signedData, tag.sequence));
  if (oidOf(info.take(tag.oid, "contentType")) !== oids.signedData) throw refuse("not SignedData");
  const wrapper = cursor(info.take(context(0), "content"));
  info.end("ContentInfo");
  const data = cursor(wrapper.take(tag.sequence, "SignedData"));
  wrapper.end("content");

  if (numberOf(data.take(tag.integer, "version")) !== 3) throw refuse("SignedData of another version than 3");
  const digests = children(data.take(tag.set, "digestAlgorithms"));
  const encapsulated = cursor(data.take(tag.sequence, "encapContentInfo"));
  if (oidOf(encapsulated.take(tag.oid, "eContentType")) !== contentType)
    throw refuse("another content type than expected");
  const attached = encapsulated.maybe(context(0));
  encapsulated.end("encapContentInfo");
  if (attached && detached) throw refuse("content in a detached signature");
  const content = attached ? only(cursor(attached).take(tag.octetString, "eContent"), attached) : detached;
  if (!content) throw refuse("no content");
  const certificates = children(data.take(context(0), "certificates")).map(({ raw }) => raw);
  const signers = children(data.take(tag.set, "signerInfos"));
  data.end("SignedData");
  const [signerInfo] = signers;
  if (signerInfo?.tag !== tag.sequence || signers.length !== 1)
    throw refuse(`${signers.length} signers instead of one`);
  if (certificates.length > maxCertificates) throw refuse(`more than ${maxCertificates} certificates`);

  const fields = cursor(signerInfo);
  if (numberOf(fields.take(tag.integer, "version")) !== 3) throw refuse("SignerInfo of another version than 3");
  const ski = Buffer.from(fields.take(context(0, false), "subjectKeyIdentifier").content).toString("hex");
  const hashed = fields.take(tag.sequence, "digestAlgorithm");
  const attributes = fields.take(context(0), "signedAttrs");
  const identifier = fields.take(tag.sequence, "signatureAlgorithm");
  const signature = fields.take(tag.octetString, "signature").content;
  fields.end("SignerInfo");

  const signer = certificates.map(readCertificate).find((certificate) => certificate.ski === ski);
  if (!signer) throw refuse("the signer's certificate is not included");
  const algorithm = algorithmOf(signer.publicKey);
  const expected = digestAlgorithm[signatureAlgorithms[algorithm].digest];
  const hasExpected = equal(hashed.raw, expected) && digests.length === 1 && equal(digests[0]?.raw, expected);
  if (!hasExpected || !equal(identifier.raw, signatureIdentifier[algorithm]))
    throw refuse("algorithms other than the certificate's");
  const signingTime = checkAttributes(attributes, { content, contentType, algorithm, hashed, identifier, signer });
  if (!isSignedBy(algorithm, retag(attributes.raw, tag.set), signature, signer.publicKey))
    throw refuse("does not verify");
  return { content, signer: signer.raw, certificates, signingTime };
}

type Expected = {
  readonly content: Uint8Array;
  readonly contentType: string;
  readonly algorithm: SignatureAlgorithm;
  readonly hashed: Element;
  readonly identifier: Element;
  readonly signer: Certificate;
};

/** Exactly the five attributes, once each, in DER order, with the values that this content and signer demand. */
function checkAttributes(
  attributes: Element,
  { content, contentType, algorithm, hashed, identifier, signer }: Expected,
): Date {
  const list = children(attributes);
  // Lengths are minimal and nothing stands between, so order is all that a SET OF can have wrong.
  if (list.some(({ raw }, index) => index > 0 && Buffer.compare(list[index - 1]?.raw ?? raw, raw) > 0))
    throw refuse("signed attributes not in DER order");
  const values = new Map<string, Element>();
  for (const each of list) {
    const fields = cursor(each);
    const type = oidOf(fields.take(tag.oid, "attrType"));
    const [value, ...more] = children(fields.take(tag.set, "attrValues"));
    fields.end("Attribute");
    if (!value || more.length > 0 || values.has(type)) throw refuse("a signed attribute twice or without a value");
    values.set(type, value);
  }
  const { digest } = signatureAlgorithms[algorithm];
  const wanted: readonly (readonly [string, string, Uint8Array])[] = [
    ["content-type", oids.contentType, oid(contentType)],
    ["message-digest", oids.messageDigest, octetString(createHash(digest).update(content).digest())],
    ["signing-certificate-v2", oids.signingCertificateV2, signingCertificate(signer)],
    ["cms-algorithm-protection", oids.cmsAlgorithmProtection, algorithmProtection(hashed.raw, identifier.raw)],
  ];
  for (const [name, type, value] of wanted)
    if (!equal(values.get(type)?.raw, value)) throw refuse(`${name} missing or wrong`);
  const signingTime = values.get(oids.signingTime);
  if (!signingTime || values.size !== wanted.length + 1)
    throw refuse("signing-time missing, or an attribute that does not belong");
  return timeOf(signingTime);
}

function only(element: Element, wrapper: Element): Uint8Array {
  if (element.raw.length !== wrapper.content.length) throw refuse("more than the content where it belongs");
  return element.content;
}

const equal = (one: Uint8Array | undefined, other: Uint8Array): boolean =>
  one !== undefined && Buffer.from(one).equals(other);
