/** Organisations for the tests of the envelope: an authority made here, certificates of each kind, and what each knows of the others. */
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { derToPem, readCertificate } from "../../envelope/certificate.ts";
import type { Opening } from "../../envelope/index.ts";
import { type Issuer, issueCertificate, issueCrl, type Profile } from "../../envelope/issue.ts";
import { type Signer, signerFrom, type Unwrapper, unwrapperFrom } from "../../envelope/keys.ts";
import type { Trust } from "../../envelope/path.ts";

/** When the tests happen. */
export const now = new Date("2026-05-04T12:00:00Z");
export const later = (ms: number, from: Date = now): Date => new Date(from.getTime() + ms);
export const dayMs = 24 * 3600 * 1000;

const notBefore = later(-30 * dayMs);
const notAfter = later(365 * dayMs);
let serial = 0;

export type KeyKind = "ec" | "rsa" | "ed25519";
export type Party = {
  readonly org: string;
  readonly signer: Signer;
  readonly unwrapper: Unwrapper;
  /** PEM of private keys and certificates, for peers on the command line. */
  readonly pem: Readonly<Record<"signKey" | "signCertificate" | "decryptKey" | "decryptCertificate", string>>;
};

export type Authority = Issuer & {
  readonly pem: string;
  crl(revoked?: readonly Uint8Array[], until?: Date): Uint8Array;
};

const keyPair = (kind: KeyKind): { publicKey: KeyObject; privateKey: KeyObject } => {
  if (kind === "rsa") return generateKeyPairSync("rsa", { modulusLength: 2048 });
  return kind === "ec" ? generateKeyPairSync("ec", { namedCurve: "prime256v1" }) : generateKeyPairSync("ed25519");
};

const nextSerial = (): Uint8Array => {
  serial += 1;
  return Uint8Array.of(1, serial >>> 8, serial);
};

export function authority(name: string): Authority {
  const { publicKey, privateKey } = keyPair("ec");
  const subject = { commonName: name, organization: name };
  const certificate = issueCertificate(
    { subject, publicKey, profile: "ca", serial: nextSerial(), notBefore, notAfter },
    { own: privateKey },
  );
  const issuer = { certificate, privateKey };
  return {
    ...issuer,
    pem: derToPem(certificate, "CERTIFICATE"),
    crl: (revoked = [], until = later(30 * dayMs)) => {
      const entries = revoked.map((der) => ({
        serial: Buffer.from(readCertificate(der).serial, "hex"),
        at: later(-1000),
      }));
      return issueCrl({ number: 1, thisUpdate: later(-1000), nextUpdate: until, revoked: entries }, issuer);
    },
  };
}

/** PEM of a fresh key and of a certificate for it. */
export function issue(
  org: string,
  profile: Profile,
  issuer: Issuer,
  kind: KeyKind = "ec",
  validity = { notBefore, notAfter },
): { readonly key: string; readonly certificate: string } {
  const { publicKey, privateKey } = keyPair(kind);
  const subject = { commonName: `${org} ${profile}`, organization: org };
  const certificate = issueCertificate({ subject, publicKey, profile, serial: nextSerial(), ...validity }, issuer);
  return {
    key: privateKey.export({ format: "pem", type: "pkcs8" }).toString(),
    certificate: derToPem(certificate, "CERTIFICATE"),
  };
}

export function party(org: string, issuer: Issuer, sign: KeyKind = "ec", decrypt: KeyKind = "ec"): Party {
  const signing = issue(org, "sign", issuer, sign);
  const decrypting = issue(org, "decrypt", issuer, decrypt);
  return {
    org,
    signer: signerFrom(signing.key, signing.certificate),
    unwrapper: unwrapperFrom(decrypting.key, decrypting.certificate),
    pem: {
      signKey: signing.key,
      signCertificate: signing.certificate,
      decryptKey: decrypting.key,
      decryptCertificate: decrypting.certificate,
    },
  };
}

export const ca = authority("exchange-ca");
export const a = party("hospital-a", ca);
export const b = party("hospital-b", ca);
export const c = party("hospital-c", ca);
export const registry = party("registry", ca);
export const parties: readonly Party[] = [a, b, c, registry];

export const trust: Trust = { anchors: [ca.certificate], crls: [ca.crl()], revocation: "require" };

/** Who owns a signing certificate, among these parties. */
export const ownerAmong =
  (known: readonly Party[]): Opening["partner"] =>
  (sha256) => {
    const found = known.find(({ signer }) => readCertificate(signer.certificate).sha256 === sha256);
    return found && { org: found.org, profiles: ["semrs-2"] };
  };

/** How hospital B opens what hospital A pushes; `changes` for what a test needs otherwise. */
export const openingOf = (self: Party, changes: Partial<Opening> = {}): Opening => ({
  self: self.org,
  unwrappers: [self.unwrapper],
  trust,
  now,
  purposes: ["push"],
  partner: ownerAmong(parties),
  hasSeen: () => false,
  ...changes,
});
