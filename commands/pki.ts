/** `semrs pki`: a small certification authority for a demo, a test or an exchange of one's own. */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Command } from "commander";
import { derToPem, pemToDer, readCertificate } from "../envelope/certificate.ts";
import { readCrl } from "../envelope/crl.ts";
import { type Issuer, issueCertificate, issueCrl } from "../envelope/issue.ts";
import { Fault, reasonOf } from "../errors.ts";

export type PkiOptions = {
  readonly now: Date;
  /** RSA-3072 keys to sign and decrypt with, for partners without elliptic curves. */
  readonly rsa?: boolean;
  readonly days?: number;
};

const dayMs = 24 * 3600 * 1000;
const defaultDays = 825;
const crlDays = 30;
const rsaModulus = 3072;
const siteProfiles = ["sign", "decrypt", "tls"] as const;
const loopback = {
  dnsNames: ["localhost"],
  ipAddresses: [Uint8Array.of(127, 0, 0, 1), Uint8Array.of(...Array(15).fill(0), 1)],
};
const exitConfig = 78;

/**
 * Writes `folder/ca.{key,crt,crl}` and, for each site, `folder/<site>/{sign,decrypt,tls}.{key,crt}` (PEM) and
 * `storage.key`. Keys are mode 0600. Nothing that exists is overwritten.
 */
export async function initPki(
  folder: string,
  sites: readonly string[],
  { now, rsa = false, days = defaultDays }: PkiOptions,
): Promise<void> {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const notBefore = new Date(now.getTime() - 5 * 60_000);
  const notAfter = new Date(now.getTime() + days * dayMs);
  const ca = authority(folder, notBefore, notAfter);
  for (const site of sites) {
    const place = join(folder, site);
    mkdirSync(place, { recursive: true, mode: 0o700 });
    for (const profile of siteProfiles) {
      const key = newKey(rsa && profile !== "tls");
      const certificate = issueCertificate(
        {
          subject: { commonName: `${site} ${profile}`, organization: site },
          publicKey: createPublicKey(key),
          profile,
          serial: newSerial(),
          notBefore,
          notAfter,
          ...(profile === "tls" ? { ...loopback, dnsNames: [...loopback.dnsNames, site] } : {}),
        },
        ca,
      );
      writeKey(join(place, `${profile}.key`), key);
      write(join(place, `${profile}.crt`), derToPem(certificate, "CERTIFICATE"), 0o644);
    }
    write(join(place, "storage.key"), `${randomBytes(32).toString("hex")}\n`, 0o600);
  }
  if (!existsSync(join(folder, "ca.crl"))) writeCrl(folder, ca, 1, [], now);
}

/** Adds a certificate's serial number to the folder's revocation list. */
export function revoke(folder: string, certificatePem: string, now: Date): void {
  const ca: Issuer = {
    certificate: first(join(folder, "ca.crt")),
    privateKey: createPrivateKey(readFileSync(join(folder, "ca.key"))),
  };
  const [der] = pemToDer(certificatePem);
  if (!der) throw new Fault("CONFIG_INVALID", "no certificate in this file");
  const [before] = pemToDer(readFileSync(join(folder, "ca.crl"), "utf8"), "X509 CRL");
  const revoked = before
    ? [...readCrl(before).revoked].map(([serial, at]) => ({ serial: Buffer.from(serial, "hex"), at }))
    : [];
  const { serial } = readCertificate(der);
  writeCrl(folder, ca, revoked.length + 2, [...revoked, { serial: Buffer.from(serial, "hex"), at: now }], now);
}

function authority(folder: string, notBefore: Date, notAfter: Date): Issuer {
  const [keyFile, file] = [join(folder, "ca.key"), join(folder, "ca.crt")];
  if (existsSync(keyFile) && existsSync(file))
    return { certificate: first(file), privateKey: createPrivateKey(readFileSync(keyFile)) };
  const privateKey = newKey(false);
  const subject = { commonName: "SEMRS exchange CA", organization: "SEMRS" };
  const certificate = issueCertificate(
    { subject, publicKey: createPublicKey(privateKey), profile: "ca", serial: newSerial(), notBefore, notAfter },
    { own: privateKey },
  );
  writeKey(keyFile, privateKey);
  write(file, derToPem(certificate, "CERTIFICATE"), 0o644);
  return { certificate, privateKey };
}

function writeCrl(
  folder: string,
  ca: Issuer,
  number: number,
  revoked: readonly { serial: Uint8Array; at: Date }[],
  now: Date,
): void {
  const list = {
    number,
    thisUpdate: new Date(now.getTime() - 60_000),
    nextUpdate: new Date(now.getTime() + crlDays * dayMs),
    revoked,
  };
  writeFileSync(join(folder, "ca.crl"), derToPem(issueCrl(list, ca), "X509 CRL"), { mode: 0o644 });
}

const newKey = (rsa: boolean): KeyObject =>
  rsa
    ? generateKeyPairSync("rsa", { modulusLength: rsaModulus }).privateKey
    : generateKeyPairSync("ec", { namedCurve: "prime256v1" }).privateKey;

/** 16 random octets, positive (RFC 5280 4.1.2.2). */
function newSerial(): Uint8Array {
  const serial = randomBytes(16);
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40;
  return serial;
}

const writeKey = (file: string, key: KeyObject): void =>
  write(file, String(key.export({ format: "pem", type: "pkcs8" })), 0o600);

function write(file: string, text: string, mode: number): void {
  if (existsSync(file))
    throw new Fault("CONFIG_INVALID", `${file} exists; move it away first, keys are never overwritten`);
  writeFileSync(file, text, { mode, flag: "wx" });
}

function first(file: string): Uint8Array {
  const [der] = pemToDer(readFileSync(file, "utf8"));
  if (!der) throw new Fault("CONFIG_INVALID", `${file} holds no certificate`);
  return der;
}

export function pkiCommand(): Command {
  const pki = new Command("pki").summary("make and show keys and certificates");
  const guarded = (work: () => void | Promise<void>) => async (): Promise<void> => {
    try {
      await work();
    } catch (thrown) {
      process.stderr.write(`semrs pki: ${thrown instanceof Fault ? reasonOf(thrown) : String(thrown)}\n`);
      process.exitCode = exitConfig;
    }
  };
  const collect = (value: string, before: readonly string[]): readonly string[] => [...before, value];
  pki
    .command("init")
    .summary("a CA, and keys and certificates for each site")
    .argument("<folder>", "where they go")
    .requiredOption("--site <name>", "a site; may be given several times", collect, [])
    .option("--rsa", "RSA-3072 keys to sign and decrypt with")
    .option("--days <days>", "validity", String(defaultDays))
    .addHelpText("before", "Example:\n  semrs pki init pki --site registry --site hospital-a --site hospital-b\n")
    .action((folder: string, { site, rsa, days }: { site: readonly string[]; rsa?: boolean; days: string }) =>
      guarded(() => initPki(folder, site, { now: new Date(), rsa: rsa ?? false, days: Number(days) }))(),
    );
  pki
    .command("show")
    .summary("what certificates say")
    .argument("<file...>", "PEM files")
    .action((files: readonly string[]) => guarded(() => show(files))());
  pki
    .command("revoke")
    .summary("revoke a certificate; rewrites ca.crl")
    .argument("<folder>", "folder of the CA")
    .argument("<certificate>", "PEM file")
    .action((folder: string, file: string) => guarded(() => revoke(folder, readFileSync(file, "utf8"), new Date()))());
  return pki;
}

function show(files: readonly string[]): void {
  for (const file of files) {
    for (const der of pemToDer(readFileSync(file, "utf8"))) {
      const { subjectText, keyUsage, notBefore, notAfter, sha256, serial } = readCertificate(der);
      const dates = `${notBefore.toISOString()} … ${notAfter.toISOString()}`;
      process.stdout.write(
        `${file}\n  ${subjectText}\n  ${(keyUsage ?? []).join(", ")}\n  ${dates}\n  serial ${serial}\n  sha256 ${sha256}\n`,
      );
    }
  }
}
