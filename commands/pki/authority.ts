/** A small certification authority for a demo, a test or an exchange of one's own: CA, certificates and keys for sites, revocation. */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, randomBytes } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { derToPem, pemToDer, readCertificate } from "../../envelope/certificate.ts";
import { readCrl } from "../../envelope/crl.ts";
import { type Issuer, issueCertificate, issueCrl } from "../../envelope/issue.ts";
import { Fault } from "../../errors.ts";
import { makeFolderSync } from "../../folder.ts";
import { legacyPurposes, purposes } from "../../pipeline/identity.ts";
import { writeDurably, writeNewDurably } from "../../store/durable.ts";

export type PkiOptions = {
  readonly now: Date;
  /** RSA-3072 keys to sign and decrypt with, for partners without elliptic curves. */
  readonly rsa?: boolean;
  /** Also RSA keys for the profile semrs-2017, which serve nothing else. */
  readonly legacy?: boolean;
  readonly days?: number;
};

const dayMs = 24 * 3600 * 1000;
export const defaultDays = 825;
/** An authority outlives what it issues: when it ends, all that it has issued ends with it. */
export const authorityDays = 3650;
/** How long a revocation list counts; an authority signs the next one before that. */
export const crlDays = 30;
const rsaModulus = 3072;
/** Everything that a key of a site can be for, by the name of its file. */
export const keyNames = [...purposes, ...legacyPurposes] as const;
export type KeyName = (typeof keyNames)[number];
/** How the certificate of such a key is issued. */
export const profileFor = (name: KeyName): (typeof purposes)[number] =>
  name === "legacy-sign" ? "sign" : name === "legacy-decrypt" ? "decrypt" : name;
/** semrs-2017 is RSA; TLS never has to be. */
export const isRsa = (name: KeyName, rsa: boolean): boolean => profileFor(name) !== name || (rsa && name !== "tls");
const loopback = {
  dnsNames: ["localhost"],
  ipAddresses: [Uint8Array.of(127, 0, 0, 1), Uint8Array.of(...Array(15).fill(0), 1)],
};

/**
 * Writes `folder/ca.{key,crt,crl}` and, for each site, `folder/<site>/{sign,decrypt,tls}.{key,crt}` (PEM) and
 * `storage.key`. Keys are mode 0600. Nothing that exists is overwritten.
 */
export async function initPki(
  folder: string,
  sites: readonly string[],
  { now, rsa = false, legacy = false, days = defaultDays }: PkiOptions,
): Promise<void> {
  makeFolderSync(folder, 0o700);
  const notBefore = new Date(now.getTime() - 5 * 60_000);
  const ca = authority(folder, notBefore, authorityEnd(now, days));
  const notAfter = endUnder(ca, now, days);
  for (const site of sites) {
    const place = join(folder, site);
    makeFolderSync(place, 0o700);
    for (const name of legacy ? keyNames : purposes) {
      const profile = profileFor(name);
      const key = newKey(isRsa(name, rsa));
      const certificate = issueCertificate(
        {
          subject: { commonName: `${site} ${name}`, organization: site },
          publicKey: createPublicKey(key),
          profile,
          serial: newSerial(),
          notBefore,
          notAfter,
          ...(profile === "tls" ? { ...loopback, dnsNames: [...loopback.dnsNames, site] } : {}),
        },
        ca,
      );
      writeKey(join(place, `${name}.key`), key);
      write(join(place, `${name}.crt`), derToPem(certificate, "CERTIFICATE"), 0o644);
    }
    writeStorageKey(place);
  }
  if (!existsSync(join(folder, "ca.crl"))) writeCrl(folder, ca, 1, [], now);
}

/** A CA of one's own with an empty revocation list, unless it is there. */
export function initAuthority(folder: string, now: Date): void {
  const ca = authority(folder, new Date(now.getTime() - 5 * 60_000), authorityEnd(now));
  if (!existsSync(join(folder, "ca.crl"))) writeCrl(folder, ca, 1, [], now);
}

const authorityEnd = (now: Date, days = 0): Date => new Date(now.getTime() + Math.max(days, authorityDays) * dayMs);

/** What an authority issues ends with it: behind its end no path would hold, and nobody would be warned of that. */
export function endUnder({ certificate }: Issuer, now: Date, days: number): Date {
  const { notAfter, subjectText } = readCertificate(certificate);
  if (notAfter <= now)
    throw new Fault(
      "CONFIG_INVALID",
      `${subjectText} ended at ${notAfter.toISOString()}; make another one, and let all houses trust both`,
    );
  return new Date(Math.min(now.getTime() + days * dayMs, notAfter.getTime()));
}

/** Adds a certificate's serial number to the folder's revocation list. */
export function revoke(folder: string, certificatePem: string, now: Date): void {
  const [der] = pemToDer(certificatePem);
  if (!der) throw new Fault("CONFIG_INVALID", "no certificate in this file");
  renewCrl(folder, { now, also: [readCertificate(der).serial] });
}

/** Signs the folder's revocation list anew, with all that was revoked before; until when it counts. */
export function renewCrl(
  folder: string,
  { now, days = crlDays, also = [] }: { readonly now: Date; readonly days?: number; readonly also?: readonly string[] },
): Date {
  const ca: Issuer = {
    certificate: first(join(folder, "ca.crt")),
    privateKey: createPrivateKey(readFileSync(join(folder, "ca.key"))),
  };
  const file = join(folder, "ca.crl");
  const [der] = existsSync(file) ? pemToDer(readFileSync(file, "utf8"), "X509 CRL") : [];
  const before = der && readCrl(der);
  const revoked = [...(before?.revoked ?? [])].map(([serial, { at }]) => ({ serial, at }));
  const all = [...revoked, ...also.map((serial) => ({ serial, at: now }))];
  const serials = all.map(({ serial, at }) => ({ serial: Buffer.from(serial, "hex"), at }));
  return writeCrl(folder, ca, Number(before?.number ?? 0) + 1, serials, now, days);
}

export function authority(folder: string, notBefore: Date, notAfter: Date): Issuer {
  const [keyFile, file] = [join(folder, "ca.key"), join(folder, "ca.crt")];
  if (existsSync(keyFile) && existsSync(file))
    return { certificate: first(file), privateKey: createPrivateKey(readFileSync(keyFile)) };
  const hasKey = existsSync(keyFile);
  const privateKey = hasKey ? createPrivateKey(readFileSync(keyFile)) : newKey(false);
  const subject = { commonName: "SEMRS exchange CA", organization: "SEMRS" };
  const certificate = issueCertificate(
    { subject, publicKey: createPublicKey(privateKey), profile: "ca", serial: newSerial(), notBefore, notAfter },
    { own: privateKey },
  );
  if (!hasKey) writeKey(keyFile, privateKey);
  write(file, derToPem(certificate, "CERTIFICATE"), 0o644);
  return { certificate, privateKey };
}

function writeCrl(
  folder: string,
  ca: Issuer,
  number: number,
  revoked: readonly { serial: Uint8Array; at: Date }[],
  now: Date,
  days = crlDays,
): Date {
  const list = {
    number,
    thisUpdate: new Date(now.getTime() - 60_000),
    nextUpdate: new Date(now.getTime() + days * dayMs),
    revoked,
  };
  writeDurably(join(folder, "ca.crl"), derToPem(issueCrl(list, ca), "X509 CRL"), 0o644);
  return list.nextUpdate;
}

export const newKey = (rsa: boolean): KeyObject =>
  rsa
    ? generateKeyPairSync("rsa", { modulusLength: rsaModulus }).privateKey
    : generateKeyPairSync("ec", { namedCurve: "prime256v1" }).privateKey;

/** What everything in the site's data folder is sealed under. */
export const writeStorageKey = (folder: string): void =>
  write(join(folder, "storage.key"), `${randomBytes(32).toString("hex")}\n`, 0o600);

/** 16 random octets, positive (RFC 5280 4.1.2.2). */
export function newSerial(): Uint8Array {
  const serial = randomBytes(16);
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40;
  return serial;
}

export const writeKey = (file: string, key: KeyObject): void =>
  write(file, String(key.export({ format: "pem", type: "pkcs8" })), 0o600);

export function write(file: string, text: string, mode: number): void {
  try {
    writeNewDurably(file, text, mode);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "EEXIST") throw cause;
    throw new Fault("CONFIG_INVALID", `${file} exists; move it away first, keys are never overwritten`, { cause });
  }
}

export function first(file: string): Uint8Array {
  const [der] = pemToDer(readFileSync(file, "utf8"));
  if (!der) throw new Fault("CONFIG_INVALID", `${file} holds no certificate`);
  return der;
}
