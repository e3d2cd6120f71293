/** Whether a certificate is revoked (RFC 5280 6.3.3): by the lists at hand, for every reason, or it counts as not known and is refused. */
import { Fault } from "../errors.ts";
import { type Certificate, readCertificate } from "./certificate.ts";
import { type Crl, type Revoked, readCrl, removeFromCrl } from "./crl.ts";
import { allReasons, type DistributionPoint, pointKeys } from "./distribution-point.ts";
import { directoryName, general } from "./names.ts";
import { namesOtherKey, readable, refuse } from "./path-checks.ts";

export type Lists = {
  readonly crls: readonly Crl[];
  /** A revocation after this does not count. */
  readonly at: Date;
  /** When a list must be current. */
  readonly now: Date;
  /** How long after its nextUpdate a list still counts. */
  readonly staleMs: number;
  /** Who signed the list and may, and until when that holds; undefined when nobody did. */
  signerOf(crl: Crl): { readonly signer: Certificate; readonly until: number } | undefined;
};

/** DER of the trusted authorities, and of the lists at hand. */
type Authorities = { readonly anchors: readonly Uint8Array[]; readonly crls: readonly Uint8Array[] };

/**
 * Until when it is certain that this certificate is not revoked; throws CERTIFICATE_INVALID otherwise, with REVOCATION_STALE as
 * its cause where a list that speaks for it has ended.
 */
export function notRevokedUntil(subject: Certificate, issuer: Certificate, lists: Lists): number {
  const { crls, at, now, staleMs } = lists;
  const endOf = (crl: Crl): number => crl.nextUpdate.getTime() + staleMs;
  const isCurrent = (crl: Crl): boolean => crl.thisUpdate <= now && endOf(crl) >= now.getTime();
  const complete = crls.filter(({ base }) => base === null).sort(newestFirst);
  let [covered, until] = [0, Number.POSITIVE_INFINITY];
  let isStale = false;
  let cause = `no revocation list of ${issuer.subjectText}; add it under trust.crls`;
  if (issuer.keyUsage && !issuer.keyUsage.includes("cRLSign"))
    cause = `${issuer.subjectText} may not sign revocation lists`;

  for (const point of [...subject.distributionPoints, ownPoint(subject)]) {
    for (const crl of complete.filter((each) => speaksFor(each, point, subject))) {
      const reasons = point.reasons & (crl.point?.reasons ?? allReasons);
      if ((reasons & ~covered) === 0) continue;
      const signed = isCurrent(crl) ? lists.signerOf(crl) : undefined;
      if (!signed) {
        if (endOf(crl) >= now.getTime()) continue;
        isStale = true;
        cause = `the revocation list of ${issuer.subjectText} is stale since ${crl.nextUpdate.toISOString()}; fetch it again`;
        continue;
      }
      const delta = crls
        .filter((each) => isCurrent(each) && buildsOn(each, crl) && each.isSignedBy(signed.signer))
        .sort(newestFirst)[0];
      const entry = entryOf(subject, crl, delta);
      if (entry && entry.at <= at) throw refuse(`${subject.subjectText} was revoked at ${entry.at.toISOString()}`);
      covered |= reasons;
      until = Math.min(until, signed.until, endOf(crl), delta ? endOf(delta) : until);
    }
    if (covered === allReasons) return until;
  }
  const says = covered === 0 ? cause : `no revocation list of ${issuer.subjectText} for every reason`;
  throw isStale ? refuse(says, new Fault("REVOCATION_STALE", says)) : refuse(says);
}

/**
 * When a trusted authority has revoked what it issued, by its own lists at hand, of whatever age; undefined where none of them says
 * so. For a certificate that is relied on without a path, being known by its digest: TLS asks no list.
 */
export function revokedAt(der: Uint8Array, { anchors, crls }: Authorities): Date | undefined {
  const [subject, all] = [readCertificate(der), readable(crls, readCrl)];
  for (const issuer of anchors.map(readCertificate)) {
    if (issuer.subjectKey !== subject.issuerKey || namesOtherKey(subject, issuer)) continue;
    const lists = all.filter((crl) => crl.issuerKey === issuer.subjectKey && crl.isSignedBy(issuer));
    const complete = lists.filter(({ base }) => base === null).sort(newestFirst);
    const inForce = complete.filter((crl) => crl === complete.find(({ pointHex }) => pointHex === crl.pointHex));
    for (const crl of inForce) {
      const entry = entryOf(subject, crl, lists.filter((each) => buildsOn(each, crl)).sort(newestFirst)[0]);
      if (entry) return entry.at;
    }
  }
  return undefined;
}

const newestFirst = (one: Crl, other: Crl): number => other.thisUpdate.getTime() - one.thisUpdate.getTime();

/** What a delta list says comes first; it can also take a certificate off the complete one. */
function entryOf(subject: Certificate, crl: Crl, delta: Crl | undefined): Revoked | undefined {
  const changed = delta?.entryOf(subject);
  if (changed) return changed.reason === removeFromCrl ? undefined : changed;
  return crl.entryOf(subject);
}

/** Lists of the certificate's issuer are asked whether the certificate names them or not (RFC 5280 6.3.3, last paragraph). */
const ownPoint = ({ issuerRdns }: Certificate): DistributionPoint => ({
  name: { full: [directoryName(issuerRdns)] },
  reasons: allReasons,
  crlIssuer: null,
});

/** RFC 5280 6.3.3 (b): issuer and scope. */
function speaksFor(crl: Crl, { name, crlIssuer }: DistributionPoint, subject: Certificate): boolean {
  const isRight = crlIssuer
    ? crl.point?.isIndirect === true && crlIssuer.some(({ key }) => key === directoryName(crl.issuerRdns).key)
    : crl.issuerKey === subject.issuerKey;
  if (!isRight || !crl.point) return isRight;
  const { isForUsers, isForAuthorities, isForAttributes, name: issuing } = crl.point;
  if (isForAttributes || (isForUsers && subject.isCa) || (isForAuthorities && !subject.isCa)) return false;
  if (!issuing) return true;
  const above = crlIssuer?.find(({ kind }) => kind === general.directory)?.rdns ?? subject.issuerRdns;
  const wanted = name ? pointKeys(name, above) : (crlIssuer ?? []).map(({ key }) => key);
  return pointKeys(issuing, crl.issuerRdns).some((key) => wanted.includes(key));
}

/** RFC 5280 6.3.3 (c) and 5.2.4: same issuer, key and scope; not before its base, and newer than the complete list. */
const buildsOn = (delta: Crl, { issuerKey, pointHex, aki, number }: Crl): boolean =>
  delta.base !== null &&
  delta.number !== null &&
  number !== null &&
  delta.issuerKey === issuerKey &&
  delta.pointHex === pointHex &&
  delta.aki === aki &&
  delta.base <= number &&
  number < delta.number;
