/**
 * Certification paths (RFC 5280 6.1) to a trust anchor, with policies, name constraints and revocation. Refused by default: an
 * unknown critical extension, SHA-1, MD5, DSA, and a missing revocation list.
 */
import { Fault } from "../errors.ts";
import { type Certificate, readCertificate } from "./certificate.ts";
import type { NameConstraints } from "./certificate-extensions.ts";
import { type Crl, readCrl } from "./crl.ts";
import { brokenConstraint } from "./name-constraints.ts";
import {
  checkInTime,
  checkIssuedBy,
  checkMayIssue,
  checkSound,
  namesOtherKey,
  readable,
  refuse,
} from "./path-checks.ts";
import { type PolicySettings, policyCheck } from "./policies.ts";
import { notRevokedUntil } from "./revocation.ts";

export type Trust = {
  /** DER of the trusted CA certificates. */
  readonly anchors: readonly Uint8Array[];
  /** DER of the revocation lists at hand. */
  readonly crls: readonly Uint8Array[];
  readonly revocation: "require" | "skip";
  /** How long after its nextUpdate a list still counts. */
  readonly crlStaleMs?: number;
  /** Which certificate policies are asked for; without it, any or none. */
  readonly policies?: PolicySettings;
};

const maxPath = 8;
const maxSteps = 200;
const maxCachedPaths = 1024;

type Good = { readonly from: number; readonly until: number };
const verified = new WeakMap<Trust, Map<string, Good>>();

/**
 * Throws CERTIFICATE_INVALID with the cause unless a path leads from the leaf to an anchor that holds at this time.
 * `now` is when revocation lists must be current: it differs from `at` when an older signature is judged by its mark. A revocation
 * after `revokedBy` does not count.
 */
export function validatePath(
  leaf: Uint8Array,
  intermediates: readonly Uint8Array[],
  trust: Trust,
  at: Date,
  now = at,
  revokedBy = at,
): void {
  const end = readCertificate(leaf);
  const cache = verified.get(trust) ?? new Map<string, Good>();
  verified.set(trust, cache);
  const good = cache.get(end.sha256);
  const isCurrent = at.getTime() === now.getTime();
  if (isCurrent && good && good.from <= at.getTime() && at.getTime() <= good.until) return;

  const search: Search = {
    anchors: trust.anchors.map(readCertificate),
    others: readable(intermediates, readCertificate),
    crls: readable(trust.crls, readCrl),
    trust,
    at,
    now,
    revokedBy,
    budget: { steps: maxSteps },
    causes: [],
    vouching: new Set(),
  };
  const until = climb(search, end, [end]);
  if (until === undefined)
    throw search.causes.find(isOfStale) ?? search.causes[0] ?? refuse("no path leads to a trusted CA");
  if (cache.size >= maxCachedPaths) cache.clear();
  if (isCurrent) cache.set(end.sha256, { from: at.getTime(), until });
}

/** What was refused because of a revocation list that has ended may hold once that is renewed: REVOCATION_STALE. */
export function orStale(thrown: unknown): unknown {
  return isOfStale(thrown) ? new Fault("REVOCATION_STALE", thrown.message, { cause: thrown }) : thrown;
}

const isOfStale = (thrown: unknown): thrown is Fault =>
  thrown instanceof Fault && (thrown.code === "REVOCATION_STALE" || isOfStale(thrown.cause));

type Search = {
  readonly anchors: readonly Certificate[];
  readonly others: readonly Certificate[];
  readonly crls: readonly Crl[];
  readonly trust: Trust;
  readonly at: Date;
  readonly now: Date;
  readonly revokedBy: Date;
  /** Shared with the searches for those who signed revocation lists. */
  readonly budget: { steps: number };
  readonly causes: unknown[];
  /** Signers of lists whose own path is being looked for: a list may speak for its own signer (PKITS 4.14.30). */
  readonly vouching: ReadonlySet<string>;
};

/** Tries every issuer of the path's top; returns until when the first path that holds does. */
function climb(search: Search, top: Certificate, path: readonly Certificate[]): number | undefined {
  search.budget.steps -= 1;
  if (search.budget.steps < 0 || path.length > maxPath) {
    search.causes.push(refuse(`no path within ${maxPath} certificates`));
    return undefined;
  }
  for (const issuer of [...search.anchors, ...search.others]) {
    const isAgain = path.some(({ sha256 }) => sha256 === issuer.sha256 && sha256 !== top.sha256);
    if (issuer.subjectKey !== top.issuerKey || isAgain || namesOtherKey(top, issuer)) continue;
    const isAnchor = search.anchors.includes(issuer);
    if (issuer.sha256 === top.sha256 && !(isAnchor && path.length === 1)) continue;
    const until = isAnchor ? tryPath(search, path, issuer) : climb(search, issuer, [...path, issuer]);
    if (until !== undefined) return until;
  }
  return undefined;
}

function tryPath(search: Search, path: readonly Certificate[], anchor: Certificate): number | undefined {
  try {
    return holdsUntil(search, [...path].reverse(), anchor);
  } catch (thrown) {
    search.causes.push(thrown);
    return undefined;
  }
}

/** RFC 5280 6.1.3 to 6.1.5. `path` begins below the anchor and ends with the leaf. */
function holdsUntil(search: Search, path: readonly Certificate[], anchor: Certificate): number {
  const { at, trust } = search;
  const policies = policyCheck(path.length, trust.policies);
  const constraints: NameConstraints[] = anchor.nameConstraints ? [anchor.nameConstraints] : [];
  let until = anchor.notAfter.getTime();
  let left = anchor.pathLength ?? Number.POSITIVE_INFINITY;
  let issuer = anchor;
  checkInTime(anchor, at);
  for (const [index, subject] of path.entries()) {
    const isLast = index === path.length - 1;
    const isSelfIssued = subject.subjectKey === subject.issuerKey;
    checkMayIssue(issuer);
    checkSound(subject, at);
    checkIssuedBy(subject, issuer);
    if (trust.revocation === "require") until = Math.min(until, revocation(search, subject, issuer, anchor));
    const broken = isSelfIssued && !isLast ? undefined : brokenConstraint(subject, constraints);
    if (broken) throw refuse(`${subject.subjectText} has ${broken}`);
    policies.take(subject, isSelfIssued, isLast);
    until = Math.min(until, subject.notAfter.getTime());
    if (isLast) break;
    if (subject.nameConstraints) constraints.push(subject.nameConstraints);
    if (!isSelfIssued) left -= 1;
    if (left < 0) throw refuse(`the path down to ${subject.subjectText} is too long`);
    left = Math.min(left, subject.pathLength ?? left);
    issuer = subject;
  }
  policies.end();
  return until;
}

const revocation = (search: Search, subject: Certificate, issuer: Certificate, anchor: Certificate): number =>
  notRevokedUntil(subject, issuer, {
    crls: search.crls,
    at: search.revokedBy,
    now: search.now,
    staleMs: search.trust.crlStaleMs ?? 0,
    signerOf: (crl) => signerOf(search, crl, issuer, anchor),
  });

/**
 * RFC 5280 6.3.3 (f) and (g): the issuer itself, or whoever else has the list's issuer name, may sign lists, and whose path
 * leads to the same anchor: under another one, anybody could have that name.
 */
function signerOf(
  search: Search,
  crl: Crl,
  issuer: Certificate,
  anchor: Certificate,
): { readonly signer: Certificate; readonly until: number } | undefined {
  for (const signer of [issuer, anchor, ...search.others]) {
    if (signer.subjectKey !== crl.issuerKey || (signer.keyUsage && !signer.keyUsage.includes("cRLSign"))) continue;
    if (!crl.isSignedBy(signer)) continue;
    const isGiven = signer === issuer || signer === anchor || search.vouching.has(signer.sha256);
    if (isGiven) return { signer, until: signer.notAfter.getTime() };
    const vouching = new Set([...search.vouching, signer.sha256]);
    const until = climb({ ...search, anchors: [anchor], causes: [], vouching }, signer, [signer]);
    if (until !== undefined) return { signer, until };
  }
  return undefined;
}
