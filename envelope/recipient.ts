/**
 * RecipientInfos of part 4: RSAES-OAEP with SHA-256 (RFC 5652 6.2.1, RFC 8017), or ECDH P-256 with
 * dhSinglePass-stdDH-sha256kdf and AES-256 key wrap (RFC 5652 6.2.2, RFC 5753). The reader accepts exactly these.
 */
import { createHash, type KeyObject } from "node:crypto";
import { Fault } from "../errors.ts";
import { isRsaSize, oids } from "./algorithms.ts";
import { readCertificate } from "./certificate.ts";
import {
  bitString,
  bitsOf,
  context,
  cursor,
  type Element,
  integer,
  numberOf,
  octetString,
  oid,
  read,
  sequence,
  tag,
  tlv,
} from "./cms/der.ts";
import { agreeOn, agreeOnce, oaepDecrypt, oaepEncrypt, unwrapKey, wrapKey } from "./primitives.ts";

const keyBytes = 32;
const sha256Algorithm = sequence(oid(oids.sha256));
/** RSAES-OAEP-params: SHA-256, MGF1 with SHA-256, no label. */
export const oaepAlgorithm = sequence(
  oid(oids.rsaesOaep),
  sequence(tlv(context(0), sha256Algorithm), tlv(context(1), sequence(oid(oids.mgf1), sha256Algorithm))),
);
const wrapAlgorithm = sequence(oid(oids.aes256Wrap));
export const agreementAlgorithm = sequence(oid(oids.dhStdSha256Kdf), wrapAlgorithm);
/** Algorithm of an ephemeral key on P-256: OpenSSL writes it with absent parameters, RFC 5753 7.1.2. */
export const ecAlgorithm = sequence(oid(oids.ecPublicKey));
/** ECC-CMS-SharedInfo (RFC 5753 7.2): keyInfo, suppPubInfo = 256 bits of wrapping key. */
const sharedInfo = sequence(wrapAlgorithm, tlv(context(2), octetString(Uint8Array.of(0, 0, 1, 0))));
const pointBytes = 65;

const notOpened = (what: string, cause?: unknown): Fault => new Fault("ENVELOPE_NOT_OPENED", what, { cause });

/** What `X-EEC-AsymmetricAlg` says of a recipient's certificate. */
export function asymmetricAlgorithm(certificate: Uint8Array): "rsaes-oaep-sha256" | "ecdh-p256-aes256-wrap" {
  return kindOf(readCertificate(certificate).publicKey) === "rsa" ? "rsaes-oaep-sha256" : "ecdh-p256-aes256-wrap";
}

/** A key of 32 octets for the owner of this certificate: one DER RecipientInfo. */
export async function wrapFor(certificate: Uint8Array, key: Uint8Array): Promise<Uint8Array> {
  const { publicKey, ski } = readCertificate(certificate);
  const skiOctets = Buffer.from(ski, "hex");
  if (kindOf(publicKey) === "rsa") {
    const wrapped = oaepEncrypt(publicKey, key);
    return sequence(integer(2), tlv(context(0, false), skiOctets), oaepAlgorithm, octetString(wrapped));
  }
  const { secret, point } = agreeOnce(publicKey);
  const wrapped = wrapKey(derived(secret), key);
  const originator = tlv(context(0), tlv(context(1), ecAlgorithm, bitString(point)));
  const recipient = sequence(tlv(context(0), octetString(skiOctets)), octetString(wrapped));
  return tlv(context(1), integer(3), originator, agreementAlgorithm, sequence(recipient));
}

/** Whom a RecipientInfo is for: the subject key identifier, hex. ENVELOPE_MALFORMED for every other kind or shape. */
export const recipientSki = (recipientInfo: Uint8Array): string => parse(recipientInfo).ski;

/** Opens a RecipientInfo with a private key; exactly 32 octets come out, or ENVELOPE_NOT_OPENED. */
export function unwrapWith(key: KeyObject, ski: string, recipientInfo: Uint8Array): Uint8Array {
  const parsed = parse(recipientInfo);
  if (parsed.ski !== ski || parsed.kind !== kindOf(key)) throw notOpened("the RecipientInfo is not for this key");
  let unwrapped: Uint8Array;
  try {
    unwrapped =
      parsed.kind === "rsa"
        ? oaepDecrypt(key, parsed.wrapped)
        : unwrapKey(derived(agreeOn(key, parsed.point)), parsed.wrapped);
  } catch (cause) {
    throw notOpened("the one-time key does not unwrap", cause);
  }
  if (unwrapped.length !== keyBytes)
    throw notOpened(`the one-time key has ${unwrapped.length} octets instead of ${keyBytes}`);
  return unwrapped;
}

/** X9.63 KDF with SHA-256, one block: 32 octets of key-encryption key. */
const derived = (secret: Uint8Array): Uint8Array =>
  createHash("sha256")
    .update(secret)
    .update(Uint8Array.of(0, 0, 0, 1))
    .update(sharedInfo)
    .digest();

const kinds = new WeakMap<KeyObject, "rsa" | "ec">();

/** Reading a key's details exports it: once is enough. */
function kindOf(key: KeyObject): "rsa" | "ec" {
  const known = kinds.get(key) ?? kindFrom(key);
  kinds.set(key, known);
  return known;
}

function kindFrom({ asymmetricKeyType: type, asymmetricKeyDetails: details }: KeyObject): "rsa" | "ec" {
  if (type === "rsa" && isRsaSize(details?.modulusLength)) return "rsa";
  if (type === "ec" && details?.namedCurve === "prime256v1") return "ec";
  throw new Fault("CERTIFICATE_INVALID", `nothing is sealed for a ${type} key of this size; use RSA-3072 or P-256`);
}

type Parsed =
  | { readonly kind: "rsa"; readonly ski: string; readonly wrapped: Uint8Array }
  | { readonly kind: "ec"; readonly ski: string; readonly wrapped: Uint8Array; readonly point: Uint8Array };

function parse(recipientInfo: Uint8Array): Parsed {
  const element = read(recipientInfo);
  if (element.tag === tag.sequence) return keyTransport(element);
  if (element.tag === context(1)) return keyAgreement(element);
  throw new Fault("ENVELOPE_MALFORMED", "a RecipientInfo of another kind than KTRI and KARI");
}

function keyTransport(element: Element): Parsed {
  const fields = cursor(element);
  const version = numberOf(fields.take(tag.integer, "version"));
  const ski = fields.take(context(0, false), "subjectKeyIdentifier");
  const algorithm = fields.take(tag.sequence, "keyEncryptionAlgorithm");
  const wrapped = fields.take(tag.octetString, "encryptedKey");
  fields.end("KeyTransRecipientInfo");
  if (version !== 2) throw new Fault("ENVELOPE_MALFORMED", "a KeyTransRecipientInfo of another version than 2");
  same(algorithm, oaepAlgorithm, "RSAES-OAEP with SHA-256");
  return { kind: "rsa", ski: hex(ski), wrapped: wrapped.content };
}

function keyAgreement(element: Element): Parsed {
  const fields = cursor(element);
  const version = numberOf(fields.take(tag.integer, "version"));
  const key = cursor(fields.take(context(0), "originator"));
  const originator = cursor(key.take(context(1), "originatorKey"));
  key.end("originator");
  same(originator.take(tag.sequence, "algorithm"), ecAlgorithm, "id-ecPublicKey without parameters");
  const point = bitsOf(originator.take(tag.bitString, "publicKey"));
  originator.end("originatorKey");
  same(
    fields.take(tag.sequence, "keyEncryptionAlgorithm"),
    agreementAlgorithm,
    "dhSinglePass-stdDH-sha256kdf with aes256-wrap",
  );
  const list = cursor(fields.take(tag.sequence, "recipientEncryptedKeys"));
  const recipient = cursor(list.take(tag.sequence, "RecipientEncryptedKey"));
  list.end("recipientEncryptedKeys");
  fields.end("KeyAgreeRecipientInfo");
  const rid = cursor(recipient.take(context(0), "rKeyId"));
  const ski = rid.take(tag.octetString, "subjectKeyIdentifier");
  rid.end("rKeyId");
  const wrapped = recipient.take(tag.octetString, "encryptedKey");
  recipient.end("RecipientEncryptedKey");
  if (version !== 3) throw new Fault("ENVELOPE_MALFORMED", "a KeyAgreeRecipientInfo of another version than 3");
  if (point.length !== pointBytes || point[0] !== 4)
    throw new Fault("ENVELOPE_MALFORMED", "an originator key that is not an uncompressed P-256 point");
  return { kind: "ec", ski: hex(ski), wrapped: wrapped.content, point };
}

function same(element: Element, expected: Uint8Array, what: string): void {
  if (!Buffer.from(element.raw).equals(expected)) throw new Fault("ENVELOPE_MALFORMED", `${what} expected`);
}

const hex = ({ content }: Element): string => Buffer.from(content).toString("hex");
