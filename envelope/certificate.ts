/** X.509 certificates as RFC 5280 4.1 writes them, read once into what path validation and CMS need. */
import { createHash, createPublicKey, type KeyObject } from "node:crypto";
import { Fault } from "../errors.ts";
import { oids } from "./algorithms.ts";
import { type PathExtensions, pathExtensionsOf } from "./certificate-extensions.ts";
import {
  bitsOf,
  booleanOf,
  children,
  context,
  cursor,
  type Element,
  numberOf,
  oidOf,
  read,
  tag,
  timeOf,
} from "./cms/der.ts";
import { type NameKeys, nameKey, rdnsOf } from "./names.ts";

export type Extension = { readonly id: string; readonly isCritical: boolean; readonly value: Uint8Array };

export type Certificate = PathExtensions & {
  readonly raw: Uint8Array;
  /** SHA-256 of `raw`, hex. */
  readonly sha256: string;
  /** The octets that are signed. */
  readonly tbs: Uint8Array;
  readonly signatureAlgorithm: string;
  readonly signature: Uint8Array;
  /** Hex without leading zeros, with a minus sign where the INTEGER has one (the RFC forbids it; PKITS has it). */
  readonly serial: string;
  /** DER of the Name. */
  readonly issuer: Uint8Array;
  readonly subject: Uint8Array;
  /** Issuer and subject as they are compared. */
  readonly issuerRdns: NameKeys;
  readonly subjectRdns: NameKeys;
  readonly issuerKey: string;
  readonly subjectKey: string;
  /** `CN=…, O=…` for people. */
  readonly subjectText: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly publicKey: KeyObject;
  /** Hex: of the extension, else SHA-1 of the key bits (RFC 5280 4.2.1.2 (1)). */
  readonly ski: string;
  readonly aki: string | null;
  readonly keyUsage: readonly string[] | null;
  readonly extendedKeyUsage: readonly string[];
  readonly isCa: boolean;
  readonly pathLength: number | null;
  readonly extensions: readonly Extension[];
};

const usages = [
  "digitalSignature",
  "nonRepudiation",
  "keyEncipherment",
  "dataEncipherment",
  "keyAgreement",
  "keyCertSign",
  "cRLSign",
  "encipherOnly",
  "decipherOnly",
];
const maxExtensions = 64;
const maxCached = 4096;
/** A larger one is read each time: who sends it chooses its size, and how many there are. */
const maxCachedBytes = 16 * 1024;
const cache = new Map<string, Certificate>();

/** Reads a DER certificate; CERTIFICATE_INVALID when it is not one. */
export function readCertificate(der: Uint8Array): Certificate {
  const sha256 = createHash("sha256").update(der).digest("hex");
  const known = cache.get(sha256);
  if (known) return known;
  try {
    if (der.length > maxCachedBytes) return parse(der, sha256);
    // Copied, so that what it came in does not stay with it.
    const certificate = parse(Uint8Array.from(der), sha256);
    if (cache.size >= maxCached) cache.clear();
    cache.set(sha256, certificate);
    return certificate;
  } catch (cause) {
    throw new Fault("CERTIFICATE_INVALID", `certificate ${sha256.slice(0, 8)} cannot be read`, { cause });
  }
}

function parse(der: Uint8Array, sha256: string): Certificate {
  const outer = cursor(read(der, tag.sequence));
  const tbs = outer.take(tag.sequence, "tbsCertificate");
  const algorithm = outer.take(tag.sequence, "signatureAlgorithm");
  const signature = bitsOf(outer.take(tag.bitString, "signature"));
  outer.end("Certificate");

  const fields = cursor(tbs);
  const version = fields.maybe(context(0));
  const serial = fields.take(tag.integer, "serialNumber");
  const inner = fields.take(tag.sequence, "signature");
  if (!Buffer.from(inner.raw).equals(algorithm.raw))
    throw new Fault("CERTIFICATE_INVALID", "the two signature algorithms differ");
  const issuer = fields.take(tag.sequence, "issuer");
  const validity = children(fields.take(tag.sequence, "validity")).map(timeOf);
  const subject = fields.take(tag.sequence, "subject");
  const spki = fields.take(tag.sequence, "subjectPublicKeyInfo");
  fields.maybe(context(1, false));
  fields.maybe(context(2, false));
  const extensions = extensionsOf(fields.maybe(context(3)));
  fields.end("tbsCertificate");
  if (extensions.length > 0 && (!version || numberOf(cursor(version).take(tag.integer, "version")) !== 2)) {
    throw new Fault("CERTIFICATE_INVALID", "extensions in a certificate that is not v3");
  }
  const [notBefore = new Date(0), notAfter = new Date(0)] = validity;
  const value = (id: string): Element | undefined => {
    const extension = extensions.find((each) => each.id === id);
    return extension ? read(extension.value) : undefined;
  };
  const basic = value(oids.basicConstraints);
  const { isCa, pathLength } = basicOf(basic);
  const keyBits = cursor(spki);
  keyBits.take(tag.sequence, "algorithm");
  const bits = keyBits.take(tag.bitString, "subjectPublicKey");
  const ski = value(oids.subjectKeyIdentifier)?.content ?? createHash("sha1").update(bitsOf(bits)).digest();
  const aki = value(oids.authorityKeyIdentifier);
  const akiKey = aki ? cursor(aki).maybe(context(0, false))?.content : undefined;
  const usage = value(oids.keyUsage);
  const extended = value(oids.extendedKeyUsage);
  const [issuerRdns, subjectRdns] = [rdnsOf(issuer), rdnsOf(subject)];
  return {
    ...pathExtensionsOf(extensions),
    raw: der,
    sha256,
    tbs: tbs.raw,
    signatureAlgorithm: oidOf(cursor(algorithm).take(tag.oid, "algorithm")),
    signature,
    serial: serialOf(serial),
    issuer: issuer.raw,
    subject: subject.raw,
    issuerRdns,
    subjectRdns,
    issuerKey: nameKey(issuerRdns),
    subjectKey: nameKey(subjectRdns),
    subjectText: nameText(subject),
    notBefore,
    notAfter,
    publicKey: createPublicKey({ key: Buffer.from(spki.raw), format: "der", type: "spki" }),
    ski: Buffer.from(ski).toString("hex"),
    aki: akiKey ? Buffer.from(akiKey).toString("hex") : null,
    keyUsage: usage ? usagesOf(usage) : null,
    extendedKeyUsage: extended ? children(extended).map(oidOf) : [],
    isCa,
    pathLength,
    extensions,
  };
}

/** A serial number as text: two that differ in sign alone are two. */
export function serialOf({ content }: Element): string {
  const sign = ((content[0] ?? 0) & 0x80) !== 0 ? "-" : "";
  const hex = Buffer.from(content).toString("hex");
  return `${sign}${hex.replace(/^(00)+(?=..)/, "")}`;
}

function extensionsOf(wrapper: Element | undefined): readonly Extension[] {
  if (!wrapper) return [];
  const list = cursor(wrapper).take(tag.sequence, "extensions");
  const extensions = children(list).map((element): Extension => {
    const fields = cursor(element);
    const id = oidOf(fields.take(tag.oid, "extnID"));
    const critical = fields.maybe(tag.boolean);
    const value = fields.take(tag.octetString, "extnValue").content;
    fields.end("Extension");
    return { id, isCritical: critical ? booleanOf(critical) : false, value };
  });
  const ids = new Set(extensions.map(({ id }) => id));
  if (extensions.length > maxExtensions || ids.size !== extensions.length) {
    throw new Fault("CERTIFICATE_INVALID", "an extension twice, or too many");
  }
  return extensions;
}

function basicOf(element: Element | undefined): { isCa: boolean; pathLength: number | null } {
  if (!element) return { isCa: false, pathLength: null };
  const fields = cursor(element);
  const ca = fields.maybe(tag.boolean);
  const length = fields.maybe(tag.integer);
  fields.end("BasicConstraints");
  return { isCa: ca ? booleanOf(ca) : false, pathLength: length ? numberOf(length) : null };
}

/** Named bits of KeyUsage (RFC 5280 4.2.1.3), bit 0 first. */
function usagesOf({ content }: Element): readonly string[] {
  return usages.filter((_, bit) => (((content[1 + (bit >> 3)] ?? 0) >> (7 - (bit & 7))) & 1) === 1);
}

const labels: Readonly<Record<string, string>> = {
  [oids.commonName]: "CN",
  [oids.organization]: "O",
  "2.5.4.6": "C",
  "2.5.4.11": "OU",
};

/** What would end a value, or begin another line (RFC 4514 2.4): names are compared and read by this text, too. */
const special = /[,\\\p{Cc}]/gu;
const escaped = (character: string): string =>
  /[,\\]/.test(character) ? `\\${character}` : `\\${Buffer.from(character).toString("hex")}`;

function nameText(name: Element): string {
  const parts = children(name).flatMap((set) =>
    children(set).map((attribute) => {
      const [type, value] = children(attribute);
      if (!type || !value) return "";
      const id = oidOf(type);
      return `${labels[id] ?? id}=${Buffer.from(value.content).toString("utf8").replaceAll(special, escaped)}`;
    }),
  );
  return parts.join(", ");
}

/** Every PEM block with this label, as DER. */
export function pemToDer(pem: string, label = "CERTIFICATE"): readonly Uint8Array[] {
  const blocks = pem.matchAll(new RegExp(`-----BEGIN ${label}-----([A-Za-z0-9+/=\\s]+)-----END ${label}-----`, "g"));
  return [...blocks].map(([, body = ""]) => Buffer.from(body, "base64"));
}

/** DER as a PEM block. */
export function derToPem(der: Uint8Array, label: string): string {
  const lines =
    Buffer.from(der)
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}
