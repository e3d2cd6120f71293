/**
 * Revocation lists of the trusted authorities, from files or by HTTP, renewed while the site runs. A list that cannot be renewed
 * stays in force until it is stale, and then nothing is opened: hard fail. What was fetched is kept, so that a site starts
 * without the network.
 */
import { hash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { pemToDer, readCertificate } from "../envelope/certificate.ts";
import { type Crl, readCrl } from "../envelope/crl.ts";
import { revokedAt, type Trust } from "../envelope/index.ts";
import { codeOf, Fault, hasNoRoom, reasonOf } from "../errors.ts";
import { makeFolderSync } from "../folder.ts";
import type { Log } from "../log.ts";
import { writeDurably } from "../store/durable.ts";

const maxListBytes = 16 * 1024 * 1024;
const fetchMs = 20_000;

export type RevocationOptions = {
  /** Files, or http: and https: addresses (a list is signed; RFC 5280 8 asks for no TLS). */
  readonly sources: readonly string[];
  readonly trust: Omit<Trust, "crls">;
  /** Where fetched lists are kept. */
  readonly folder: string;
  readonly renewMs: number;
  readonly now: () => Date;
  readonly log: Log;
};

export type Revocation = {
  /** With the lists as they are now: another object after each change, since verified paths are cached by it. */
  trust(): Trust;
  /** Whether a list says so of a certificate (DER): for TLS, which asks none. */
  isRevoked(certificate: Uint8Array): boolean;
  /** Looks at every source at once. */
  renew(): Promise<void>;
  stop(): Promise<void>;
};

/** Reads every list once; CONFIG_INVALID for a source that gives none and never gave one. */
export async function openRevocation(options: RevocationOptions): Promise<Revocation> {
  const { sources, trust, folder, renewMs, now, log } = options;
  const lists = new Map<string, readonly Uint8Array[]>();
  const [unrenewed, unkept] = [new Set<string>(), new Set<string>()];
  let current: Trust = { ...trust, crls: [] };
  const stopping = new AbortController();

  const anchors = trust.anchors.map(readCertificate);
  /** Whoever answers in the authority's place can neither go back to an older list nor put in one of his own. */
  const check = (list: Uint8Array, source: string, before: readonly Uint8Array[]): void => {
    const crl = readCrl(list);
    const isOf = (issuer: Uint8Array): boolean => Buffer.from(issuer).equals(crl.issuer);
    const signers = anchors.filter(({ subject }) => isOf(subject));
    if (signers.length > 0 && !signers.some((signer) => crl.isSignedBy(signer)))
      throw new Fault("CERTIFICATE_INVALID", `${source}: a revocation list that its authority has not signed`);
    if (before.map(readCrl).some((each) => scopeOf(each) === scopeOf(crl) && each.thisUpdate > crl.thisUpdate))
      throw new Fault("CERTIFICATE_INVALID", `${source}: an older revocation list than the one in force`);
  };
  /** Lists of others may come beside; where nothing else comes, what is in force stays. */
  const checkAll = (fresh: readonly Uint8Array[], source: string, before: readonly Uint8Array[]): void => {
    for (const list of fresh) check(list, source, before);
    // Without this, an answer that leaves a list out would be followed by one that has an older.
    const isLeftOut = (crl: Crl): boolean =>
      crl.base === null &&
      crl.nextUpdate >= now() &&
      anchors.some(crl.isSignedBy) &&
      !fresh.map(readCrl).some((each) => follows(each, crl));
    if (before.map(readCrl).some(isLeftOut))
      throw new Fault("CERTIFICATE_INVALID", `${source}: without a revocation list that is in force`);
    const known = [...anchors.map(({ subject }) => subject), ...before.map((list) => readCrl(list).issuer)];
    if (
      before.length > 0 &&
      !fresh.some((list) => known.some((name) => Buffer.from(name).equals(readCrl(list).issuer)))
    )
      throw new Fault("CERTIFICATE_INVALID", `${source}: a revocation list of another authority than the one in force`);
  };
  /** On a disk that is full what was revoked meanwhile counts as well; a start without the network has the list of before. */
  const keepIfRoom = (source: string, fresh: readonly Uint8Array[]): void => {
    try {
      keep(source, folder, fresh);
      unkept.delete(source);
    } catch (thrown) {
      const code = hasNoRoom(thrown) ? "STORE_FULL" : codeOf(thrown);
      const reason = `in force, but not kept in ${folder} (${(thrown as NodeJS.ErrnoException).code ?? reasonOf(thrown)})`;
      if (!unkept.has(source)) log("revocation.unkept", { peer: source, code, reason }, "warn");
      unkept.add(source);
    }
  };
  const renewOne = async (source: string): Promise<boolean> => {
    try {
      const fresh = isAddress(source) ? await fetched(source, stopping.signal) : fromText(readText(source), source);
      const isSame = same(lists.get(source), fresh);
      if (!isSame) checkAll(fresh, source, lists.get(source) ?? kept(source, folder) ?? []);
      if (isAddress(source)) keepIfRoom(source, fresh);
      if (unrenewed.delete(source)) log("revocation.renewed", { peer: source });
      if (isSame) return false;
      lists.set(source, fresh);
      return true;
    } catch (thrown) {
      if (stopping.signal.aborted) return false;
      const known = lists.get(source) ?? kept(source, folder);
      if (!known) throw thrown;
      // Once a failure, not once a look: the list in force says itself how long it counts.
      if (!unrenewed.has(source))
        log("revocation.unrenewed", { peer: source, code: codeOf(thrown), reason: reasonOf(thrown) }, "warn");
      unrenewed.add(source);
      if (lists.has(source)) return false;
      lists.set(source, known);
      return true;
    }
  };
  const renew = async (): Promise<void> => {
    const changed = await Promise.all(sources.map(renewOne));
    if (changed.includes(true)) current = { ...trust, crls: sources.flatMap((source) => lists.get(source) ?? []) };
  };

  await renew();
  const looking = (async () => {
    while (!stopping.signal.aborted) {
      await wait(renewMs, undefined, { signal: stopping.signal, ref: false }).catch(() => undefined);
      if (!stopping.signal.aborted) await renew().catch(() => undefined);
    }
  })();
  return {
    trust: () => current,
    isRevoked: (certificate) => revokedAt(certificate, current) !== undefined,
    renew,
    stop: async () => {
      stopping.abort();
      await looking;
    },
  };
}

/** Whether it is a list of the same, at least as new: an authority may have another key by now. */
const follows = (crl: Crl, { issuerKey, pointHex, thisUpdate }: Crl): boolean =>
  crl.base === null && crl.issuerKey === issuerKey && crl.pointHex === pointHex && crl.thisUpdate >= thisUpdate;

/** Lists of one scope follow each other: an authority may have several, of parts of what it issues, and deltas to them. */
const scopeOf = ({ issuerKey, aki, pointHex, base }: Crl): string =>
  [issuerKey, aki, pointHex, base === null ? "complete" : "delta"].join("\n\n");

/** Whether lists come from an address, and not from a file. */
export const isAddress = (source: string): boolean => /^https?:\/\//.test(source);

/** Fetches a list, PEM or DER; PEER_UNREACHABLE or CERTIFICATE_INVALID says why there is none. */
async function fetched(url: string, signal: AbortSignal): Promise<readonly Uint8Array[]> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(fetchMs)]);
  const response = await fetch(url, { signal: limit, redirect: "error" }).catch((cause: unknown) => {
    throw new Fault("PEER_UNREACHABLE", `${url} gives no revocation list`, { cause });
  });
  if (!response.ok)
    throw new Fault("PEER_UNREACHABLE", `${url} answered ${response.status} instead of a revocation list`);
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const piece of response.body ?? []) {
    size += piece.length;
    if (size > maxListBytes) throw new Fault("TOO_LARGE", `${url}: a revocation list over ${maxListBytes} octets`);
    pieces.push(piece);
  }
  const bytes = Buffer.concat(pieces);
  return bytes[0] === 0x30 ? [Uint8Array.from(bytes)] : fromText(bytes.toString("latin1"), url);
}

function readText(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw new Fault("CONFIG_INVALID", `${file} cannot be read; fetch it from the authority`, { cause });
  }
}

function fromText(text: string, source: string): readonly Uint8Array[] {
  const found = pemToDer(text, "X509 CRL");
  if (found.length === 0) throw new Fault("CONFIG_INVALID", `${source} holds no revocation list`);
  return found;
}

const fileOf = (url: string, folder: string): string => join(folder, `${hash("sha256", url).slice(0, 32)}.crl`);

function keep(url: string, folder: string, lists: readonly Uint8Array[]): void {
  makeFolderSync(folder, 0o700);
  const text = JSON.stringify(lists.map((list) => Buffer.from(list).toString("base64")));
  writeDurably(fileOf(url, folder), text, 0o600);
}

function kept(source: string, folder: string): readonly Uint8Array[] | undefined {
  try {
    const lists = JSON.parse(readFileSync(fileOf(source, folder), "utf8")) as string[];
    return lists.map((list) => Uint8Array.from(Buffer.from(list, "base64")));
  } catch {
    return undefined;
  }
}

const same = (one: readonly Uint8Array[] | undefined, other: readonly Uint8Array[]): boolean =>
  one?.length === other.length &&
  one.every((list, index) => Buffer.from(list).equals(other[index] ?? new Uint8Array()));
