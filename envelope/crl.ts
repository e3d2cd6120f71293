/** Certificate revocation lists (RFC 5280 5): full lists of one issuer. Delta and partitioned lists are refused, not guessed at. */
import { createHash, verify } from "node:crypto";
import { Fault } from "../errors.ts";
import { certificateSignatures, oids } from "./algorithms.ts";
import type { Certificate } from "./certificate.ts";
import { bitsOf, booleanOf, children, context, cursor, type Element, oidOf, read, tag, timeOf } from "./cms/der.ts";

export type Crl = {
  /** DER of the issuer's Name. */
  readonly issuer: Uint8Array;
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
  readonly revoked: ReadonlyMap<string, Date>;
  isSignedBy(certificate: Certificate): boolean;
};

const known = new Set<string>([oids.crlNumber, oids.authorityKeyIdentifier]);
const maxCached = 256;
const cache = new Map<string, Crl>();

/** Reads a DER list; CERTIFICATE_INVALID when it cannot be relied on. */
export function readCrl(der: Uint8Array): Crl {
  const name = createHash("sha256").update(der).digest("hex");
  const cached = cache.get(name);
  if (cached) return cached;
  let crl: Crl;
  try {
    crl = parse(der);
  } catch (cause) {
    throw new Fault("CERTIFICATE_INVALID", "a revocation list cannot be read; fetch it again", { cause });
  }
  if (cache.size >= maxCached) cache.clear();
  cache.set(name, crl);
  return crl;
}

function parse(der: Uint8Array): Crl {
  const outer = cursor(read(der, tag.sequence));
  const tbs = outer.take(tag.sequence, "tbsCertList");
  const algorithm = oidOf(cursor(outer.take(tag.sequence, "signatureAlgorithm")).take(tag.oid, "algorithm"));
  const signature = bitsOf(outer.take(tag.bitString, "signatureValue"));
  outer.end("CertificateList");
  const fields = cursor(tbs);
  fields.maybe(tag.integer);
  fields.take(tag.sequence, "signature");
  const issuer = fields.take(tag.sequence, "issuer").raw;
  const thisUpdate = timeOf(anyTime(fields.peek(), fields));
  const nextUpdate = timeOf(anyTime(fields.peek(), fields));
  const entries = fields.maybe(tag.sequence);
  const extensions = fields.maybe(context(0));
  fields.end("tbsCertList");
  refuseUnknown(extensions);
  const revoked = new Map((entries ? children(entries) : []).map(revokedEntry));
  return {
    issuer,
    thisUpdate,
    nextUpdate,
    revoked,
    isSignedBy: ({ publicKey }) => {
      const allowed = certificateSignatures[algorithm];
      if (!allowed || allowed.key !== publicKey.asymmetricKeyType) return false;
      return verify(allowed.hash, tbs.raw, publicKey, signature);
    },
  };
}

function anyTime(next: Element | undefined, fields: ReturnType<typeof cursor>): Element {
  // nextUpdate is OPTIONAL in the syntax and mandatory in the profile (RFC 5280 5.1.2.5).
  return fields.take(next?.tag === tag.generalizedTime ? tag.generalizedTime : tag.utcTime, "time");
}

function revokedEntry(element: Element): [string, Date] {
  const fields = cursor(element);
  const serial = Buffer.from(fields.take(tag.integer, "userCertificate").content)
    .toString("hex")
    .replace(/^(00)+(?=..)/, "");
  const at = timeOf(anyTime(fields.peek(), fields));
  const extensions = fields.maybe(tag.sequence);
  for (const extension of extensions ? children(extensions) : []) {
    const each = cursor(extension);
    const id = oidOf(each.take(tag.oid, "extnID"));
    const critical = each.maybe(tag.boolean);
    // A critical entry extension (certificateIssuer: an indirect list) changes whose serial this is.
    if (critical && booleanOf(critical)) throw new Fault("CERTIFICATE_INVALID", `critical CRL entry extension ${id}`);
  }
  return [serial, at];
}

function refuseUnknown(wrapper: Element | undefined): void {
  if (!wrapper) return;
  for (const extension of children(cursor(wrapper).take(tag.sequence, "crlExtensions"))) {
    const fields = cursor(extension);
    const id = oidOf(fields.take(tag.oid, "extnID"));
    const critical = fields.maybe(tag.boolean);
    if (critical && booleanOf(critical) && !known.has(id))
      throw new Fault("CERTIFICATE_INVALID", `critical CRL extension ${id}`);
  }
}
