/** Certificate requests of a site, and the certificates that a CA issues for them. */
import { createPrivateKey, createPublicKey } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { isIP } from "node:net";
import { basename, dirname, join } from "node:path";
import { InvalidArgumentError } from "commander";
import { derToPem, pemToDer, readCertificate } from "../../envelope/certificate.ts";
import { issueCertificate } from "../../envelope/issue.ts";
import { algorithmOf } from "../../envelope/keys.ts";
import { asymmetricAlgorithm } from "../../envelope/recipient.ts";
import { readRequest, writeRequest } from "../../envelope/request.ts";
import { Fault } from "../../errors.ts";
import { makeFolderSync } from "../../folder.ts";
import { purposes } from "../../pipeline/identity.ts";
import { writeDurably } from "../../store/durable.ts";
import {
  endUnder,
  first,
  isRsa,
  keyNames,
  newKey,
  newSerial,
  profileFor,
  writeKey,
  writeStorageKey,
} from "./authority.ts";
import { put } from "./bundle.ts";

/** Makes the keys that are missing and writes `{sign,decrypt,tls}.csr`, and `legacy-{sign,decrypt}.csr` if asked for; the files' names. */
export function makeRequests(
  folder: string,
  site: string,
  {
    rsa,
    legacy = false,
    hosts,
  }: { readonly rsa: boolean; readonly legacy?: boolean; readonly hosts: readonly string[] },
): readonly string[] {
  makeFolderSync(folder, 0o700);
  const files = (legacy ? keyNames : purposes).map((name) => {
    const keyFile = join(folder, `${name}.key`);
    if (!existsSync(keyFile)) writeKey(keyFile, newKey(isRsa(name, rsa)));
    const subject = { commonName: `${site} ${name}`, organization: site };
    const names = name === "tls" ? [...new Set([...hosts, site, "localhost", "127.0.0.1"])] : [];
    const der = writeRequest({ subject, key: createPrivateKey(readFileSync(keyFile)), names });
    const file = join(folder, `${name}.csr`);
    writeDurably(file, derToPem(der, "CERTIFICATE REQUEST"), 0o644);
    return file;
  });
  if (!existsSync(join(folder, "storage.key"))) writeStorageKey(folder);
  return files;
}

const dnsName = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/i;

/** `--host`, given several times: with a scheme or a port in it no partner's TLS would find the name in the certificate. */
export function collectHost(value: string, before: readonly string[]): readonly string[] {
  if (isIP(value) !== 4 && !dnsName.test(value))
    throw new InvalidArgumentError("write a DNS name or an IPv4 address, without scheme and port");
  return [...before, value];
}

/** The certificate for a request, beside it; what it is for follows from its name. CERTIFICATE_INVALID when its signature is not by its key. */
export function issueFor(
  folder: string,
  file: string,
  { now, days }: { readonly now: Date; readonly days: number },
): string {
  const name = keyNames.find((each) => `${each}.csr` === basename(file));
  if (!name) throw new Fault("CONFIG_INVALID", `${file}: requests are named ${keyNames.join(".csr, ")}.csr`);
  const [der] = pemToDer(readFileSync(file, "utf8"), "CERTIFICATE REQUEST");
  if (!der) throw new Fault("CONFIG_INVALID", `${file} holds no certificate request`);
  const { subject, publicKey, names } = readRequest(der);
  const ca = {
    certificate: first(join(folder, "ca.crt")),
    privateKey: createPrivateKey(readFileSync(join(folder, "ca.key"))),
  };
  const certificate = issueCertificate(
    {
      subject,
      publicKey: createPublicKey(publicKey),
      profile: profileFor(name),
      serial: newSerial(),
      notBefore: new Date(now.getTime() - 5 * 60_000),
      notAfter: endUnder(ca, now, days),
      dnsNames: names.filter((name) => isIP(name) === 0),
      ipAddresses: names.filter((name) => isIP(name) === 4).map((name) => Uint8Array.from(name.split(".").map(Number))),
    },
    ca,
  );
  usable[name]?.(certificate);
  return put(join(dirname(file), `${name}.crt`), derToPem(certificate, "CERTIFICATE"));
}

/** CERTIFICATE_INVALID for a key that partners would refuse with every envelope. */
const usable: Partial<Record<(typeof keyNames)[number], (certificate: Uint8Array) => unknown>> = {
  sign: (certificate) => algorithmOf(readCertificate(certificate).publicKey),
  decrypt: asymmetricAlgorithm,
};
