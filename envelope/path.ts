/**
 * Certification path validation (RFC 5280 6.1) to a trust anchor, with revocation. Refused by default: what is critical and
 * not understood here (policies that must be explicit, name constraints), SHA-1, MD5, DSA, and a missing revocation list.
 */
import { verify } from "node:crypto";
import { Fault } from "../errors.ts";
import { certificateSignatures, oids, rsaBits } from "./algorithms.ts";
import { type Certificate, readCertificate } from "./certificate.ts";
import { type Crl, readCrl } from "./crl.ts";

export type Trust = {
  /** DER of the trusted CA certificates. */
  readonly anchors: readonly Uint8Array[];
  /** DER of the revocation lists at hand. */
  readonly crls: readonly Uint8Array[];
  readonly revocation: "require" | "skip";
  /** How long after its nextUpdate a list still counts. */
  readonly crlStaleMs?: number;
};

const maxPath = 8;
const maxSteps = 200;
const maxCachedPaths = 1024;
const understood = new Set<string>([
  oids.basicConstraints,
  oids.keyUsage,
  oids.extendedKeyUsage,
  oids.subjectAltName,
  oids.subjectKeyIdentifier,
  oids.authorityKeyIdentifier,
  oids.certificatePolicies,
]);
const maxSerialHex = 40;

type Good = { readonly from: number; readonly until: number };
const verified = new WeakMap<Trust, Map<string, Good>>();

const refuse = (what: string): Fault => new Fault("CERTIFICATE_INVALID", what);

/**
 * Throws CERTIFICATE_INVALID with the cause unless a path leads from the leaf to an anchor that holds at this time.
 * `now` is when revocation lists must be current: it differs from `at` when an older signature is judged by its mark.
 */
export function validatePath(
  leaf: Uint8Array,
  intermediates: readonly Uint8Array[],
  trust: Trust,
  at: Date,
  now = at,
): void {
  const end = readCertificate(leaf);
  const cache = verified.get(trust) ?? new Map<string, Good>();
  verified.set(trust, cache);
  const good = cache.get(end.sha256);
  const isCurrent = at.getTime() === now.getTime();
  if (isCurrent && good && good.from <= at.getTime() && at.getTime() <= good.until) return;

  const search: Search = {
    anchors: trust.anchors.map(readCertificate),
    others: readable(intermediates),
    crls: trust.crls.map(readCrl),
    trust,
    at,
    now,
    steps: 0,
    causes: [],
  };
  const until = climb(search, end, [end]);
  if (until === undefined) throw refuse(search.causes[0] ?? "no path leads to a trusted CA");
  if (cache.size >= maxCachedPaths) cache.clear();
  if (isCurrent) cache.set(end.sha256, { from: at.getTime(), until });
}

type Search = {
  readonly anchors: readonly Certificate[];
  readonly others: readonly Certificate[];
  readonly crls: readonly Crl[];
  readonly trust: Trust;
  readonly at: Date;
  readonly now: Date;
  steps: number;
  readonly causes: string[];
};

/** Tries every issuer of the path's top; returns until when the first path that holds does. */
function climb(search: Search, top: Certificate, path: readonly Certificate[]): number | undefined {
  search.steps += 1;
  if (search.steps > maxSteps || path.length > maxPath) {
    search.causes.push(`no path within ${maxPath} certificates`);
    return undefined;
  }
  for (const issuer of [...search.anchors, ...search.others]) {
    if (
      !equal(issuer.subject, top.issuer) ||
      path.some(({ sha256 }) => sha256 === issuer.sha256 && sha256 !== top.sha256)
    )
      continue;
    const isAnchor = search.anchors.includes(issuer);
    if (issuer.sha256 === top.sha256 && !(isAnchor && path.length === 1)) continue;
    if (isAnchor) {
      const until = tryPath(search, [...path, issuer]);
      if (until !== undefined) return until;
    } else {
      const until = climb(search, issuer, [...path, issuer]);
      if (until !== undefined) return until;
    }
  }
  return undefined;
}

function tryPath(search: Search, path: readonly Certificate[]): number | undefined {
  try {
    return holds(search, path);
  } catch (thrown) {
    search.causes.push((thrown as Error).message);
    return undefined;
  }
}

/** RFC 5280 6.1.3 to 6.1.5, from the anchor down. `path` is leaf first, anchor last. */
function holds({ at, now, trust, crls }: Search, path: readonly Certificate[]): number {
  const anchor = path.at(-1);
  let until = Number.POSITIVE_INFINITY;
  let depth = 0;
  for (let i = path.length - 2; i >= 0; i -= 1) {
    const [issuer, subject] = [path[i + 1], path[i]];
    if (!issuer || !subject || !anchor) throw refuse("the path is empty");
    mayIssue(issuer, issuer === anchor, depth);
    isSound(subject, at);
    isIssuedBy(subject, issuer);
    if (trust.revocation === "require")
      until = Math.min(until, notRevoked(subject, issuer, crls, { at, now, staleMs: trust.crlStaleMs ?? 0 }));
    until = Math.min(until, subject.notAfter.getTime());
    if (!equal(subject.subject, subject.issuer)) depth += 1;
  }
  if (anchor) isInTime(anchor, at);
  return Math.min(until, anchor?.notAfter.getTime() ?? 0);
}

function mayIssue(
  { isCa, pathLength, keyUsage, subjectText, publicKey }: Certificate,
  isAnchor: boolean,
  below: number,
): void {
  if (!isCa) throw refuse(`${subjectText} issued a certificate and is no CA`);
  if (keyUsage && !keyUsage.includes("keyCertSign")) throw refuse(`${subjectText} may not sign certificates`);
  if (pathLength !== null && below - 1 > pathLength && below > 0)
    throw refuse(`the path below ${subjectText} is too long`);
  if (!isAnchor || publicKey) checkKey(publicKey, subjectText);
}

function isSound(certificate: Certificate, at: Date): void {
  isInTime(certificate, at);
  for (const { id, isCritical } of certificate.extensions) {
    if (isCritical && !understood.has(id))
      throw refuse(`${certificate.subjectText} has a critical extension that is not understood (${id})`);
  }
  if (certificate.serial.length > maxSerialHex)
    throw refuse(`${certificate.subjectText} has a serial number of more than 20 octets`);
  checkKey(certificate.publicKey, certificate.subjectText);
}

function isInTime({ notBefore, notAfter, subjectText }: Certificate, at: Date): void {
  if (at < notBefore) throw refuse(`${subjectText} is not valid before ${notBefore.toISOString()}`);
  if (at > notAfter) throw refuse(`${subjectText} expired at ${notAfter.toISOString()}`);
}

function checkKey(
  { asymmetricKeyType: type, asymmetricKeyDetails: details }: Certificate["publicKey"],
  whose: string,
): void {
  if (type === "ec" || type === "ed25519") return;
  const bits = details?.modulusLength ?? 0;
  const isFit =
    type === "rsa" && bits >= rsaBits.min && bits <= rsaBits.max && (details?.publicExponent ?? 0n) >= 65537n;
  if (!isFit) throw refuse(`the key of ${whose} is too weak or of a kind not used here`);
}

function isIssuedBy(subject: Certificate, issuer: Certificate): void {
  if (
    subject.aki &&
    issuer.extensions.some(({ id }) => id === oids.subjectKeyIdentifier) &&
    subject.aki !== issuer.ski
  ) {
    throw refuse(`${subject.subjectText} names another key of its issuer`);
  }
  const algorithm = certificateSignatures[subject.signatureAlgorithm];
  if (!algorithm || algorithm.key !== issuer.publicKey.asymmetricKeyType)
    throw refuse(`${subject.subjectText} is signed with an algorithm that is not accepted`);
  if (!verify(algorithm.hash, subject.tbs, issuer.publicKey, subject.signature))
    throw refuse(`the signature on ${subject.subjectText} does not verify`);
}

/** RFC 5280 6.3 for full lists: the newest one of this issuer, which must be signed by it and current. */
function notRevoked(
  subject: Certificate,
  issuer: Certificate,
  crls: readonly Crl[],
  { at, now, staleMs }: { readonly at: Date; readonly now: Date; readonly staleMs: number },
): number {
  if (issuer.keyUsage && !issuer.keyUsage.includes("cRLSign"))
    throw refuse(`${issuer.subjectText} may not sign revocation lists`);
  const [list] = crls
    .filter((crl) => equal(crl.issuer, issuer.subject) && crl.thisUpdate <= now && crl.isSignedBy(issuer))
    .sort((one, other) => other.thisUpdate.getTime() - one.thisUpdate.getTime());
  if (!list) throw refuse(`no revocation list of ${issuer.subjectText}; add it under trust.crls`);
  const end = list.nextUpdate.getTime() + staleMs;
  if (end < now.getTime())
    throw refuse(
      `the revocation list of ${issuer.subjectText} is stale since ${list.nextUpdate.toISOString()}; fetch it again`,
    );
  const revokedAt = list.revoked.get(subject.serial);
  if (revokedAt && revokedAt <= at) throw refuse(`${subject.subjectText} was revoked at ${revokedAt.toISOString()}`);
  return end;
}

/** Certificates that cannot be read help no path; they are no reason to refuse the leaf. */
const readable = (ders: readonly Uint8Array[]): readonly Certificate[] =>
  ders.flatMap((der) => {
    try {
      return [readCertificate(der)];
    } catch {
      return [];
    }
  });

const equal = (one: Uint8Array, other: Uint8Array): boolean => Buffer.from(one).equals(other);
