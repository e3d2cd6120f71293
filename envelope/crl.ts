/** Certificate revocation lists (RFC 5280 5): complete and delta, of one authority or indirect, for everything or a part. */
import { verify } from "node:crypto";
import { Fault } from "../errors.ts";
import { certificateSignatures, oids } from "./algorithms.ts";
import { type Certificate, serialOf } from "./certificate.ts";
import { bitsOf, booleanOf, children, context, cursor, type Element, oidOf, read, tag, timeOf } from "./cms/der.ts";
import { type IssuingPoint, issuingPointOf } from "./distribution-point.ts";
import { general, generalNamesOf, type NameKeys, nameKey, rdnsOf } from "./names.ts";

/** When, and CRLReason (RFC 5280 5.3.1). */
export type Revoked = { readonly at: Date; readonly reason: number };

export type Crl = {
  /** DER of the issuer's Name. */
  readonly issuer: Uint8Array;
  readonly issuerRdns: NameKeys;
  readonly issuerKey: string;
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
  /** CRLNumber; null where there is none. */
  readonly number: bigint | null;
  /** Of a delta list: the number of the complete list it builds on. */
  readonly base: bigint | null;
  readonly aki: string | null;
  readonly point: IssuingPoint | null;
  /** DER of the point, to see whether a delta list has the scope of a complete one. */
  readonly pointHex: string;
  /** By serial number: certificates of the issuer itself. */
  readonly revoked: ReadonlyMap<string, Revoked>;
  /** The entry for a certificate of any issuer. */
  entryOf(certificate: Pick<Certificate, "issuerKey" | "serial">): Revoked | undefined;
  isSignedBy(certificate: Pick<Certificate, "publicKey">): boolean;
};

export const removeFromCrl = 8;
const knownOfList = new Set<string>([
  oids.crlNumber,
  oids.authorityKeyIdentifier,
  oids.issuingDistributionPoint,
  oids.deltaCrlIndicator,
  oids.freshestCrl,
]);
const knownOfEntry = new Set<string>([oids.certificateIssuer, oids.reasonCode]);
/** A list is held by who trusts it: the one that follows is another, and may have tens of thousands of entries. */
const known = new WeakMap<Uint8Array, Crl>();

/** Reads a DER list; CERTIFICATE_INVALID when it cannot be relied on. */
export function readCrl(der: Uint8Array): Crl {
  const found = known.get(der);
  if (found) return found;
  try {
    const crl = parse(der);
    known.set(der, crl);
    return crl;
  } catch (cause) {
    throw new Fault("CERTIFICATE_INVALID", "a revocation list cannot be read; fetch it again", { cause });
  }
}

function parse(der: Uint8Array): Crl {
  const outer = cursor(read(der, tag.sequence));
  const tbs = outer.take(tag.sequence, "tbsCertList");
  const identifier = outer.take(tag.sequence, "signatureAlgorithm");
  const signature = bitsOf(outer.take(tag.bitString, "signatureValue"));
  outer.end("CertificateList");
  const fields = cursor(tbs);
  fields.maybe(tag.integer);
  if (!Buffer.from(fields.take(tag.sequence, "signature").raw).equals(identifier.raw))
    throw new Fault("CERTIFICATE_INVALID", "the two signature algorithms of a list differ");
  const issuer = fields.take(tag.sequence, "issuer");
  const [thisUpdate, nextUpdate] = [takeTime(fields), takeTime(fields)];
  const entries = fields.maybe(tag.sequence);
  const wrapper = fields.maybe(context(0));
  fields.end("tbsCertList");
  const value = extensionsOf(wrapper && cursor(wrapper).take(tag.sequence, "crlExtensions"), knownOfList);
  const [number, base, point] = [
    value(oids.crlNumber),
    value(oids.deltaCrlIndicator),
    value(oids.issuingDistributionPoint),
  ];
  const aki = value(oids.authorityKeyIdentifier);
  const akiKey = aki && cursor(aki).maybe(context(0, false))?.content;
  const issuerRdns = rdnsOf(issuer);
  const issuerKey = nameKey(issuerRdns);
  const issuing = point ? issuingPointOf(point) : null;
  const { own, others } = entriesOf(entries, issuerKey, issuing?.isIndirect ?? false);
  const allowed = certificateSignatures[oidOf(cursor(identifier).take(tag.oid, "algorithm"))];
  return {
    issuer: issuer.raw,
    issuerRdns,
    issuerKey,
    thisUpdate,
    nextUpdate,
    number: number ? bigOf(number) : null,
    base: base ? bigOf(base) : null,
    aki: akiKey ? Buffer.from(akiKey).toString("hex") : null,
    point: issuing,
    pointHex: point ? Buffer.from(point.raw).toString("hex") : "",
    revoked: own,
    entryOf: (certificate) =>
      certificate.issuerKey === issuerKey
        ? own.get(certificate.serial)
        : others.get(`${certificate.issuerKey}\n\n${certificate.serial}`),
    isSignedBy: ({ publicKey }) =>
      allowed !== undefined &&
      allowed.key === publicKey.asymmetricKeyType &&
      verify(allowed.hash, tbs.raw, publicKey, signature),
  };
}

/** nextUpdate is OPTIONAL in the syntax and mandatory in the profile (RFC 5280 5.1.2.5). */
function takeTime(fields: ReturnType<typeof cursor>): Date {
  const isGeneral = fields.peek()?.tag === tag.generalizedTime;
  return timeOf(fields.take(isGeneral ? tag.generalizedTime : tag.utcTime, "time"));
}

const bigOf = ({ content }: Element): bigint => BigInt(`0x${Buffer.from(content).toString("hex") || "0"}`);

/** Values by identifier; what is critical and not known makes the whole list useless (RFC 5280 5.2, 5.3). */
function extensionsOf(list: Element | undefined, accepted: ReadonlySet<string>): (id: string) => Element | undefined {
  const values = new Map<string, Uint8Array>();
  for (const extension of list ? children(list) : []) {
    const fields = cursor(extension);
    const id = oidOf(fields.take(tag.oid, "extnID"));
    const critical = fields.maybe(tag.boolean);
    if (critical && booleanOf(critical) && !accepted.has(id))
      throw new Fault("CERTIFICATE_INVALID", `critical extension ${id} in a revocation list`);
    if (accepted.has(id)) values.set(id, fields.take(tag.octetString, "extnValue").content);
  }
  return (id) => {
    const found = values.get(id);
    return found && read(found);
  };
}

type Entries = { readonly own: Map<string, Revoked>; readonly others: Map<string, Revoked> };

/** An entry belongs to the certificateIssuer named last before it, at first to the list's own issuer (RFC 5280 5.3.3). */
function entriesOf(list: Element | undefined, issuerKey: string, isIndirect: boolean): Entries {
  const [own, others] = [new Map<string, Revoked>(), new Map<string, Revoked>()];
  let current = issuerKey;
  for (const element of list ? children(list) : []) {
    const fields = cursor(element);
    const serial = serialOf(fields.take(tag.integer, "userCertificate"));
    const at = takeTime(fields);
    const value = extensionsOf(fields.maybe(tag.sequence), knownOfEntry);
    const [names, reason] = [value(oids.certificateIssuer), value(oids.reasonCode)];
    if (names) {
      const name = generalNamesOf(names).find(({ kind }) => kind === general.directory);
      if (!isIndirect || !name)
        throw new Fault("CERTIFICATE_INVALID", "certificateIssuer in a list that is not indirect");
      current = nameKey(name.rdns);
    }
    const revoked = { at, reason: reason?.content[0] ?? 0 };
    if (current === issuerKey) own.set(serial, revoked);
    else others.set(`${current}\n\n${serial}`, revoked);
  }
  return { own, others };
}
