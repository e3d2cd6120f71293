/**
 * One SignerInfo (RFC 5652 5.3) as ordinary tools write it: by issuer and serial number or by key identifier; content-type and
 * message-digest are demanded, what else is known is checked where it is there, the rest is passed over.
 */
import { constants, type KeyObject, verify } from "node:crypto";
import { Fault } from "../errors.ts";
import { isRsaSize, oids } from "./algorithms.ts";
import { type Certificate, readCertificate } from "./certificate.ts";
import {
  type Cursor,
  children,
  context,
  cursor,
  type Element,
  integer,
  nothing,
  numberOf,
  octetString,
  oid,
  oidOf,
  read,
  sequence,
  setOf,
  tag,
  timeOf,
} from "./cms/der.ts";
import { digestAlgorithm, retag } from "./signed-data.ts";
import { byIssuer, bySki, type Named } from "./smime4-recipients.ts";

/** RFC 5754 2: SHA-2 with parameters absent, or NULL, which must be taken too. */
const digests = [
  { name: "sha256", form: digestAlgorithm.sha256 },
  { name: "sha256", form: sequence(oid(oids.sha256), nothing) },
  { name: "sha512", form: digestAlgorithm.sha512 },
  { name: "sha512", form: sequence(oid(oids.sha512), nothing) },
] as const;
export type DigestName = (typeof digests)[number]["name"];

/** What a digest's AlgorithmIdentifier names. */
export function digestOf(algorithm: Uint8Array | undefined): DigestName {
  const found = digests.find(({ form }) => algorithm && Buffer.from(form).equals(algorithm));
  if (!found) throw refuse("a digest other than SHA-256 and SHA-512");
  return found.name;
}

/** What X-EEC-SignAlg says. RSA PKCS #1 v1.5 is read, since `openssl cms -sign` writes it unless told otherwise; never written. */
export type SignatureName = "ecdsa-p256-sha256" | "rsa-pss-sha256" | "rsa-pkcs1-sha256" | "ed25519";

export type CheckedSigner = {
  /** DER of the signing certificate: whose it is, and whether its path holds, is still to be asked. */
  readonly certificate: Uint8Array;
  readonly algorithm: SignatureName;
  readonly digest: DigestName;
  readonly signingTime: Date | null;
};

const maxAttributes = 32;
const minSaltBytes = 32;

const refuse = (what: string): Fault => new Fault("ENVELOPE_NOT_OPENED", `signature: ${what}`);

/** Exactly one signer, whose signature holds over a content of this digest. */
export function checkSignerInfo(
  signerInfos: Uint8Array,
  expected: {
    readonly version: Uint8Array;
    readonly digest: DigestName;
    readonly messageDigest: Uint8Array;
    readonly certificates: readonly Uint8Array[];
  },
): CheckedSigner {
  const [info, ...others] = children(read(signerInfos, tag.set));
  if (info?.tag !== tag.sequence || others.length > 0)
    throw refuse(`${others.length + (info ? 1 : 0)} signers instead of one`);
  const fields = cursor(info);
  const version = numberOf(fields.take(tag.integer, "version"));
  const named = signerNamed(fields);
  const hashed = fields.take(tag.sequence, "digestAlgorithm");
  const attributes = fields.take(context(0), "signedAttrs");
  const identifier = fields.take(tag.sequence, "signatureAlgorithm");
  const signature = fields.take(tag.octetString, "signature").content;
  fields.end("SignerInfo");

  if (version !== (named.version === 2 ? 3 : 1) || !is(integer(version), expected.version))
    throw refuse("versions that do not fit how the signer is named");
  if (digestOf(hashed.raw) !== expected.digest) throw refuse("two digests that differ");
  const certificate = expected.certificates.flatMap(readable).find((each) => named.test(each));
  if (!certificate) throw refuse("the signer's certificate is not included");
  const { algorithm, digest, options } = signatureOf(identifier, certificate.publicKey);
  if (digest !== expected.digest) throw refuse("a digest that does not go with the signature");
  const signingTime = checkAttributes(attributes, { ...expected, hashed, identifier, certificate });
  const key = { key: certificate.publicKey, ...options };
  if (!verify(digest === "sha512" ? null : digest, retag(attributes.raw, tag.set), key, signature))
    throw refuse("does not verify");
  return { certificate: certificate.raw, algorithm, digest, signingTime };
}

const signerNamed = (fields: Cursor): Named =>
  fields.peek()?.tag === tag.sequence
    ? byIssuer(fields.take(tag.sequence, "sid"))
    : bySki(fields.take(context(0, false), "sid"));

/** A certificate that cannot be read helps nobody; it is no reason to refuse the others. */
function readable(der: Uint8Array): readonly Certificate[] {
  try {
    return [readCertificate(der)];
  } catch {
    return [];
  }
}

type Signature = {
  readonly algorithm: SignatureName;
  readonly digest: DigestName;
  readonly options: { readonly dsaEncoding?: "der"; readonly padding?: number; readonly saltLength?: number };
};

const pkcs1: Signature = {
  algorithm: "rsa-pkcs1-sha256",
  digest: "sha256",
  options: { padding: constants.RSA_PKCS1_PADDING },
};
/** By AlgorithmIdentifier, and the key that goes with each (RFC 5754 3.2, 3.3; RFC 8419 3; RFC 8551 2.2). */
const signatures: readonly { readonly form: Uint8Array; readonly key: string; readonly signature: Signature }[] = [
  {
    form: sequence(oid(oids.ecdsaWithSha256)),
    key: "ec prime256v1",
    signature: { algorithm: "ecdsa-p256-sha256", digest: "sha256", options: { dsaEncoding: "der" } },
  },
  {
    form: sequence(oid(oids.ed25519)),
    key: "ed25519",
    signature: { algorithm: "ed25519", digest: "sha512", options: {} },
  },
  { form: sequence(oid(oids.rsaEncryption), nothing), key: "rsa", signature: pkcs1 },
  { form: sequence(oid(oids.sha256WithRsa), nothing), key: "rsa", signature: pkcs1 },
];

function signatureOf(identifier: Element, key: KeyObject): Signature {
  const kind = kindOf(key);
  const found = signatures.find((each) => is(each.form, identifier.raw));
  const signature = found?.key === kind ? found.signature : kind === "rsa" ? pssOf(identifier) : undefined;
  if (!signature) throw refuse("an algorithm that is not taken here, or not the certificate's");
  return signature;
}

function kindOf({ asymmetricKeyType: type, asymmetricKeyDetails: details }: KeyObject): string {
  if (type === "ec") return `ec ${details?.namedCurve}`;
  const isFit = isRsaSize(details?.modulusLength) && (details?.publicExponent ?? 0n) >= 65537n;
  return type === "rsa" && !isFit ? "rsa of another size" : (type ?? "");
}

/** RSASSA-PSS (RFC 4056 3) with SHA-256 twice and a salt of at least 32 octets: OpenSSL 3.0 takes the longest that fits. */
function pssOf(identifier: Element): Signature | undefined {
  const fields = cursor(identifier);
  if (oidOf(fields.take(tag.oid, "algorithm")) !== oids.rsassaPss) return undefined;
  const parameters = cursor(fields.take(tag.sequence, "RSASSA-PSS-params"));
  const [hash] = children(parameters.take(context(0), "hashAlgorithm"));
  const mask = cursor(cursor(parameters.take(context(1), "maskGenAlgorithm")).take(tag.sequence, "mask"));
  const salt = cursor(parameters.take(context(2), "saltLength")).take(tag.integer, "saltLength");
  parameters.end("RSASSA-PSS-params");
  const isMgf1 = oidOf(mask.take(tag.oid, "algorithm")) === oids.mgf1;
  const inner = mask.take(tag.sequence, "hash of the mask");
  const saltLength = numberOf(salt);
  if (!isMgf1 || digestOf(hash?.raw) !== "sha256" || digestOf(inner.raw) !== "sha256" || saltLength < minSaltBytes)
    return undefined;
  const options = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength };
  return { algorithm: "rsa-pss-sha256", digest: "sha256", options };
}

type Expected = {
  readonly messageDigest: Uint8Array;
  readonly certificate: Certificate;
  readonly hashed: Element;
  readonly identifier: Element;
};

/** DER order, none twice; the two that must be there, and those known ones that are. */
function checkAttributes(
  attributes: Element,
  { messageDigest, certificate, hashed, identifier }: Expected,
): Date | null {
  const list = children(attributes);
  if (list.length > maxAttributes) throw refuse(`more than ${maxAttributes} signed attributes`);
  if (!is(retag(attributes.raw, tag.set), setOf(...list.map(({ raw }) => raw))))
    throw refuse("signed attributes not in DER order");
  const values = new Map<string, readonly Element[]>();
  for (const each of list) {
    const fields = cursor(each);
    const type = oidOf(fields.take(tag.oid, "attrType"));
    if (values.has(type)) throw refuse("a signed attribute twice");
    values.set(type, children(fields.take(tag.set, "attrValues")));
    fields.end("Attribute");
  }
  const one = (type: string, name: string): Element | undefined => {
    const [value, ...more] = values.get(type) ?? [];
    if (more.length > 0 || (values.has(type) && !value)) throw refuse(`${name} without one value`);
    return value;
  };
  const must = (type: string, name: string, value: Uint8Array): void => {
    if (!is(value, one(type, name)?.raw)) throw refuse(`${name} missing or wrong`);
  };
  must(oids.contentType, "content-type", oid(oids.data));
  must(oids.messageDigest, "message-digest", octetString(messageDigest));
  const named = one(oids.signingCertificateV2, "signing-certificate-v2");
  if (named && !namesCertificate(named, certificate)) throw refuse("signing-certificate-v2 names another certificate");
  const protection = one(oids.cmsAlgorithmProtection, "cms-algorithm-protection");
  if (protection && !is(protection.raw, sequence(hashed.raw, retag(identifier.raw, context(1)))))
    throw refuse("cms-algorithm-protection missing or wrong");
  const signingTime = one(oids.signingTime, "signing-time");
  return signingTime ? timeOf(signingTime) : null;
}

/** The first ESSCertIDv2 is the signer's (RFC 5035 4): SHA-256, by DEFAULT or said, whatever else it tells. */
function namesCertificate(value: Element, { sha256 }: Certificate): boolean {
  const [first] = children(cursor(value).take(tag.sequence, "certs"));
  const fields = first && cursor(first);
  const algorithm = fields?.maybe(tag.sequence);
  const isSha256 = !algorithm || digestOf(algorithm.raw) === "sha256";
  const hash = fields?.take(tag.octetString, "certHash").content;
  return isSha256 && hash !== undefined && Buffer.from(hash).toString("hex") === sha256;
}

const is = (one: Uint8Array, other: Uint8Array | undefined): boolean =>
  other !== undefined && Buffer.from(one).equals(other);
