/** Certificates on their way to a partner and from one: one PEM file, and fingerprints to be read out by telephone. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Certificate, derToPem, pemToDer, readCertificate } from "../../envelope/certificate.ts";
import { Fault } from "../../errors.ts";
import { makeFolderSync } from "../../folder.ts";
import { purposes } from "../../pipeline/identity.ts";
import { writeDurably } from "../../store/durable.ts";
import { organizationIn } from "../envelope/keys.ts";

/** Files of what a partner needs of a site, by what their certificates are for. */
const modern: Readonly<Record<Purpose, string>> = { sign: "sign", decrypt: "decrypt", tls: "tls" };
/** Of one that is spoken to in semrs-2017. */
const old: Readonly<Record<Purpose, string>> = { sign: "legacy-sign", decrypt: "legacy-decrypt", tls: "tls" };

type Purpose = (typeof purposes)[number];

/** The site's three certificates, then whatever else partners need; nothing of a private key. */
export function exportBundle(
  folder: string,
  more: readonly string[],
  legacy = false,
): { readonly pem: string; readonly fingerprints: readonly string[] } {
  const fingerprints: string[] = [];
  const own = purposes.map((purpose) => {
    const file = `${(legacy ? old : modern)[purpose]}.crt`;
    const der = only(text(join(folder, file)), file);
    fingerprints.push(`${purpose.padEnd(8)}${fingerprint(readCertificate(der))}`);
    return `${purpose}\n${derToPem(der, "CERTIFICATE")}`;
  });
  const others = more.flatMap((file) => {
    const pem = text(file);
    return [
      ...pemToDer(pem).map((der) => `authority\n${derToPem(der, "CERTIFICATE")}`),
      ...pemToDer(pem, "X509 CRL").map((der) => `revocation list\n${derToPem(der, "X509 CRL")}`),
    ];
  });
  return { pem: [...own, ...others].join("\n"), fingerprints };
}

/** Writes `folder/name/{sign,decrypt,tls}.crt` (`legacy`: `legacy-{sign,decrypt}.crt` and `tls.crt`), and `ca.crt` and `ca.crl` where the bundle has them. What a certificate is for is read from it, not from its place. */
export function trustBundle(
  pem: string,
  folder: string,
  name: string,
  legacy = false,
): {
  readonly written: readonly string[];
  readonly fingerprints: readonly string[];
  readonly others: readonly string[];
} {
  if (/PRIVATE KEY/.test(pem))
    throw new Fault("CONFIG_INVALID", "the bundle holds a private key: its owner must make new keys, and export again");
  const place = join(folder, name);
  if (existsSync(place) && readdirSync(place).some((file) => file.endsWith(".key")))
    throw new Fault(
      "CONFIG_INVALID",
      `${place} holds keys: it is a folder of our own; name the partner as it is called`,
    );
  const found = new Map<Purpose | "ca", Uint8Array[]>();
  const fingerprints: string[] = [];
  for (const der of pemToDer(pem)) {
    const certificate = readCertificate(der);
    const purpose = purposeOf(certificate);
    found.set(purpose, [...(found.get(purpose) ?? []), der]);
    if (purpose !== "ca") fingerprints.push(`${purpose.padEnd(8)}${fingerprint(certificate)}`);
  }
  for (const purpose of purposes)
    if (!found.has(purpose))
      throw new Fault("CONFIG_INVALID", `the bundle has no certificate to ${purpose}; ask ${name} to export it again`);
  makeFolderSync(place, 0o755);
  const files = legacy ? old : modern;
  const others: string[] = [];
  const written = [...found].map(([purpose, ders]) =>
    put(
      join(place, `${purpose === "ca" ? purpose : files[purpose]}.crt`),
      ders.map((der) => derToPem(der, "CERTIFICATE")).join(""),
      ({ subjectText }) => others.push(subjectText),
    ),
  );
  const lists = pemToDer(pem, "X509 CRL")
    .map((der) => derToPem(der, "X509 CRL"))
    .join("");
  return { written: lists ? [...written, put(join(place, "ca.crl"), lists)] : written, fingerprints, others };
}

/**
 * Renewed certificates take the place of the old ones, which all stay beside them: what was signed under them is still to be verified.
 * Those of another house, which came here by mistake, do not: what it signs would count as this one's. `dropped` is told of them.
 */
export function put(file: string, pem: string, dropped: (certificate: Certificate) => void = () => undefined): string {
  const before = existsSync(file) ? readFileSync(file, "utf8") : pem;
  const previous = `${file}.previous`;
  const former = existsSync(previous) && file.endsWith(".crt") ? readFileSync(previous, "utf8") : "";
  if (before !== pem) writeDurably(previous, ofSameHouse(before + former, pem, dropped), 0o644);
  writeDurably(file, pem, 0o644);
  return file;
}

function ofSameHouse(former: string, pem: string, dropped: (certificate: Certificate) => void): string {
  const [der] = pemToDer(pem);
  const now = der && readCertificate(der);
  if (!now || now.isCa) return former;
  const kept = pemToDer(former)
    .map(readCertificate)
    .filter((each) => {
      const isOther = !each.isCa && houseOf(each) !== houseOf(now);
      if (isOther) dropped(each);
      return !isOther;
    });
  return kept.map(({ raw }) => derToPem(raw, "CERTIFICATE")).join("");
}

/** The organisation that a certificate names; of one that names none, its whole name. */
const houseOf = ({ subjectText }: Certificate): string => organizationIn(subjectText) ?? subjectText;

function purposeOf({ isCa, keyUsage, extendedKeyUsage }: Certificate): Purpose | "ca" {
  if (isCa) return "ca";
  if (extendedKeyUsage.length > 0) return "tls";
  return keyUsage?.some((usage) => usage === "keyEncipherment" || usage === "keyAgreement") ? "decrypt" : "sign";
}

/** Groups of four digits, to be read aloud. */
const fingerprint = ({ sha256 }: Certificate): string => (sha256.match(/.{4}/g) ?? []).join(" ");

function only(pem: string, what: string): Uint8Array {
  const [der] = pemToDer(pem);
  if (!der) throw new Fault("CONFIG_INVALID", `${what} holds no certificate`);
  return der;
}

function text(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw new Fault("CONFIG_INVALID", `${file} cannot be read; have the site's requests issued first`, { cause });
  }
}
