/** Makes certificates and revocation lists for a demo, a test or a small exchange of one's own: P-256 or RSA, signed with SHA-256. */
import { createHash, createPublicKey, type KeyObject, sign } from "node:crypto";
import { oids } from "./algorithms.ts";
import { type Certificate, readCertificate } from "./certificate.ts";
import {
  bitString,
  boolean,
  context,
  integer,
  nothing,
  octetString,
  oid,
  sequence,
  setOf,
  tag,
  time,
  tlv,
  utf8,
} from "./cms/der.ts";

export type Profile = "ca" | "sign" | "decrypt" | "tls";
export type Issuer = { readonly certificate: Uint8Array; readonly privateKey: KeyObject };

export type CertificateRequest = {
  readonly subject: { readonly commonName: string; readonly organization: string };
  readonly publicKey: KeyObject;
  readonly profile: Profile;
  /** Big-endian octets; at most 20, the first not over 7f. */
  readonly serial: Uint8Array;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly dnsNames?: readonly string[];
  readonly ipAddresses?: readonly Uint8Array[];
};

/** Bits of KeyUsage: 0 digitalSignature, 1 nonRepudiation, 2 keyEncipherment, 4 keyAgreement, 5 keyCertSign, 6 cRLSign. */
const usageBits: Readonly<Record<Profile, (key: KeyObject) => readonly number[]>> = {
  ca: () => [5, 6],
  sign: () => [0, 1],
  // One purpose a key: a key that unwraps never signs (envelope.md, "Signature").
  decrypt: (key) => (key.asymmetricKeyType === "rsa" ? [2] : [4]),
  tls: () => [0],
};

/** A certificate; without `issuer` it is self-signed with `own`. */
export function issueCertificate(
  request: CertificateRequest,
  issuer: Issuer | { readonly own: KeyObject },
): Uint8Array {
  const parent = "certificate" in issuer ? readCertificate(issuer.certificate) : undefined;
  const signingKey = "own" in issuer ? issuer.own : issuer.privateKey;
  const subject = name(request.subject);
  const spki = request.publicKey.export({ format: "der", type: "spki" });
  const tbs = sequence(
    tlv(context(0), integer(2)),
    integer(request.serial),
    algorithmOf(signingKey),
    parent ? parent.subject : subject,
    sequence(time(request.notBefore), time(request.notAfter)),
    subject,
    spki,
    tlv(context(3), sequence(...extensions(request, parent, spki))),
  );
  return signed(tbs, signingKey);
}

export type RevocationList = {
  readonly number: number;
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
  readonly revoked: readonly { readonly serial: Uint8Array; readonly at: Date }[];
};

/** A full revocation list (RFC 5280 5.1), version 2. */
export function issueCrl({ number, thisUpdate, nextUpdate, revoked }: RevocationList, issuer: Issuer): Uint8Array {
  const parent = readCertificate(issuer.certificate);
  const entries = revoked.map(({ serial, at }) => sequence(integer(serial), time(at)));
  const tbs = sequence(
    integer(1),
    algorithmOf(issuer.privateKey),
    parent.subject,
    time(thisUpdate),
    time(nextUpdate),
    ...(entries.length > 0 ? [sequence(...entries)] : []),
    tlv(context(0), sequence(authorityKey(parent), extension(oids.crlNumber, false, integer(number)))),
  );
  return signed(tbs, issuer.privateKey);
}

function signed(tbs: Uint8Array, key: KeyObject): Uint8Array {
  const digest = key.asymmetricKeyType === "ed25519" ? null : "sha256";
  return sequence(tbs, algorithmOf(key), bitString(sign(digest, tbs, key)));
}

function algorithmOf(key: KeyObject): Uint8Array {
  if (key.asymmetricKeyType === "rsa") return sequence(oid(oids.sha256WithRsa), nothing);
  return sequence(oid(key.asymmetricKeyType === "ed25519" ? oids.ed25519 : oids.ecdsaWithSha256));
}

const name = ({ commonName, organization }: CertificateRequest["subject"]): Uint8Array =>
  sequence(
    setOf(sequence(oid(oids.organization), utf8(organization))),
    setOf(sequence(oid(oids.commonName), utf8(commonName))),
  );

function extensions(
  request: CertificateRequest,
  parent: Certificate | undefined,
  spki: Uint8Array,
): readonly Uint8Array[] {
  const { profile, publicKey, dnsNames = [], ipAddresses = [] } = request;
  const ski = keyIdentifier(spki);
  const names = [
    ...dnsNames.map((dns) => tlv(context(2, false), Buffer.from(dns))),
    ...ipAddresses.map((ip) => tlv(context(7, false), ip)),
  ];
  return [
    extension(oids.basicConstraints, true, profile === "ca" ? sequence(boolean(true)) : sequence()),
    extension(oids.keyUsage, true, keyUsage(usageBits[profile](publicKey))),
    ...(profile === "tls"
      ? [extension(oids.extendedKeyUsage, false, sequence(oid(oids.serverAuth), oid(oids.clientAuth)))]
      : []),
    ...(names.length > 0 ? [extension(oids.subjectAltName, false, sequence(...names))] : []),
    extension(oids.subjectKeyIdentifier, false, octetString(ski)),
    ...(parent ? [authorityKey(parent)] : []),
  ];
}

const extension = (id: string, isCritical: boolean, value: Uint8Array): Uint8Array =>
  sequence(oid(id), ...(isCritical ? [boolean(true)] : []), octetString(value));

const authorityKey = (parent: Certificate): Uint8Array =>
  extension(oids.authorityKeyIdentifier, false, sequence(tlv(context(0, false), Buffer.from(parent.ski, "hex"))));

/** A named bit list without trailing zero bits (X.690 11.2.2). */
function keyUsage(bits: readonly number[]): Uint8Array {
  const octet = bits.reduce((value, bit) => value | (0x80 >> bit), 0);
  return tlv(tag.bitString, Uint8Array.of(7 - Math.max(...bits), octet));
}

/** RFC 7093 2 (1): the leftmost 160 bits of SHA-256 over the key bits. */
function keyIdentifier(spki: Uint8Array): Uint8Array {
  const key = createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
  return createHash("sha256")
    .update(key.export({ format: "der", type: "spki" }))
    .digest()
    .subarray(0, 20);
}
