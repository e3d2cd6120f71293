/** The machine a site will run on: its keys and certificates, its partners' certificates, revocation lists, folders, ports. */
import { createPublicKey, type KeyObject } from "node:crypto";
import { once } from "node:events";
import { accessSync, constants, existsSync, readFileSync, statSync } from "node:fs";
import { createServer } from "node:net";
import { basename, dirname, join, relative, resolve } from "node:path";
import { type Certificate, pemToDer, readCertificate } from "../../envelope/certificate.ts";
import { readCrl } from "../../envelope/crl.ts";
import { validatePath } from "../../envelope/index.ts";
import { privateKeyFrom } from "../../envelope/keys.ts";
import { Fault, orFault, reasonOf, whyUnlistened } from "../../errors.ts";
import { isAddress } from "../../exchange/revocation.ts";
import type { Config } from "../../pipeline/config.ts";
import { type Finding, type FindingCode, severityOf } from "../../pipeline/config-findings.ts";
import { expiryOf } from "../../pipeline/expiry.ts";
import { legacyPurposes, purposes, speaksLegacy } from "../../pipeline/identity.ts";
import { openFolder } from "../../store/permitted.ts";
import { readinessAt } from "../admin-client.ts";
import { doorsOf } from "./firewall.ts";

const dayMs = 24 * 3600 * 1000;
const othersMay = 0o077;

/** Everything that would keep the site from starting or soon will. */
export async function checkEnvironment(config: Config, now: Date): Promise<readonly Finding[]> {
  return [
    ...ownKeys(config, now),
    ...partners(config, now),
    ...authorities(config, now),
    ...revocation(config, now),
    ...named(config),
    ...folder(config),
    ...(await listeners(config)),
  ];
}

function finding(file: string, code: FindingCode, message: string): Finding {
  return { file: relative(process.cwd(), file) || file, line: 0, column: 0, severity: severityOf(code), code, message };
}

function* ownKeys(config: Config, now: Date): Generator<Finding> {
  const at = (name: string): string => join(config.own.keys, name);
  const seen = new Map<string, string>();
  const isLegacy = others(config).some(([, partner]) => speaksLegacy(partner));
  const made = `semrs pki csr ${relative(process.cwd(), config.own.keys) || "."} --site ${config.site}${isLegacy ? " --legacy" : ""} makes it`;
  for (const purpose of isLegacy ? [...purposes, ...legacyPurposes] : purposes) {
    const [keyFile, file] = [at(`${purpose}.key`), at(`${purpose}.crt`)];
    const certificate = yield* certificateAt(
      file,
      "KEY_MISSING",
      `have ${purpose}.csr issued and put the certificate here`,
    );
    const key = textOf(keyFile);
    if (key === undefined) {
      yield finding(keyFile, "KEY_MISSING", isClosed(keyFile) ? closed : `${made}, and a request`);
      continue;
    }
    if ((statSync(keyFile).mode & othersMay) !== 0) yield finding(keyFile, "KEY_MODE", "chmod 600");
    if (!certificate) continue;
    yield* validity(file, certificate, config, now);
    const mine = yield* keyOf(keyFile, key, certificate);
    if (mine === undefined) continue;
    const other = seen.get(mine);
    if (other) yield finding(keyFile, "KEY_SHARED", `is the key of ${other}, too`);
    seen.set(mine, purpose);
  }
  // The one before a renewal opens what was sealed for it.
  const former = at("decrypt.previous.key");
  const formerKey = textOf(former);
  if (existsSync(former)) {
    if ((statSync(former).mode & othersMay) !== 0) yield finding(former, "KEY_MODE", "chmod 600");
    const beside = `put it beside ${basename(former)}, or remove that`;
    const certificate = yield* certificateAt(at("decrypt.previous.crt"), "KEY_MISSING", beside);
    if (certificate) yield* keyOf(former, formerKey ?? "", certificate);
  }
  const storage = textOf(at("storage.key"));
  if (storage === undefined && isClosed(at("storage.key"))) yield finding(at("storage.key"), "KEY_MISSING", closed);
  else if (storage === undefined)
    yield finding(at("storage.key"), "KEY_MISSING", `restore it from its backup; where there is no data yet, ${made}`);
  else if (!/^[0-9a-f]{64}$/i.test(storage.trim()))
    yield finding(at("storage.key"), "STORAGE_KEY", "is not 64 hexadecimal digits");
  else if ((statSync(at("storage.key")).mode & othersMay) !== 0)
    yield finding(at("storage.key"), "KEY_MODE", "chmod 600");
}

/** What tells the key from others, unless it cannot be read. */
function* keyOf(keyFile: string, pem: string, { publicKey }: Certificate): Generator<Finding, string | undefined> {
  const key = orFault(() => privateKeyFrom(pem));
  if (key instanceof Fault) {
    yield finding(keyFile, "KEY_PAIR", key.message);
    return undefined;
  }
  const spki = (of: KeyObject): string => of.export({ format: "der", type: "spki" }).toString("hex");
  const mine = spki(createPublicKey(key));
  if (mine !== spki(publicKey))
    yield finding(keyFile.replace(/key$/, "crt"), "KEY_PAIR", `is not for ${basename(keyFile)}`);
  return mine;
}

const others = ({ partners, site }: Config) => Object.entries(partners).filter(([name]) => name !== site);

function* partners(config: Config, now: Date): Generator<Finding> {
  const hops = new Map<string, { readonly name: string; readonly isLegacy: boolean }>();
  const signers = new Map<string, string>();
  for (const [name, partner] of others(config)) {
    const isLegacy = speaksLegacy(partner);
    const at = (purpose: string): string => join(partner.certificates, `${purpose}.crt`);
    // What a partner with semrs-2017 has for semrs-2 need not be there.
    const known = isLegacy
      ? [...legacyPurposes, "tls", ...["sign", "decrypt"].filter((one) => existsSync(at(one)))]
      : purposes;
    const uses = new Map<string, string>();
    for (const purpose of known) {
      const file = at(purpose);
      const certificate = yield* certificateAt(file, "PARTNER_CERTIFICATE", `ask ${name} for it, then semrs pki trust`);
      if (!certificate) continue;
      yield* validity(file, certificate, config, now);
      const spki = certificate.publicKey.export({ format: "der", type: "spki" }).toString("hex");
      const other = uses.get(spki);
      if (other) yield finding(file, "KEY_SHARED", `is the key of ${other}, too; ask ${name} for one of its own`);
      uses.set(spki, purpose);
      // What it signs would be the first one's, whoever has signed it.
      const signer = purpose === "sign" ? signers.get(spki) : undefined;
      if (signer) yield finding(file, "KEY_SHARED", `is the key of ${signer}, too; ask ${name} for its own`);
      if (purpose === "sign") signers.set(spki, name);
      if (purpose !== "tls") continue;
      const hop = hops.get(certificate.sha256);
      if (hop && (hop.isLegacy || isLegacy))
        yield finding(file, "LEGACY_INDIRECT", `is that of ${hop.name}, too: semrs-2017 needs a direct connection`);
      hops.set(certificate.sha256, { name, isLegacy });
    }
  }
}

const closed = "is closed to this user; check as the user that the site runs as";

function isClosed(file: string): boolean {
  try {
    accessSync(file, constants.R_OK);
    return false;
  } catch (thrown) {
    return (thrown as NodeJS.ErrnoException).code === "EACCES";
  }
}

function* certificateAt(file: string, code: FindingCode, next: string): Generator<Finding, Certificate | undefined> {
  const pem = textOf(file);
  if (pem === undefined) {
    yield finding(file, code, isClosed(file) ? closed : next);
    return undefined;
  }
  try {
    const [der] = pemToDer(pem);
    if (der) return readCertificate(der);
    yield finding(file, code, "holds no certificate");
  } catch (thrown) {
    yield finding(file, "CERTIFICATE_UNTRUSTED", reasonOf(thrown));
  }
  return undefined;
}

function* validity(file: string, certificate: Certificate, config: Config, now: Date): Generator<Finding> {
  const { notBefore, notAfter, raw } = certificate;
  const { days, step } = expiryOf(notAfter, now);
  if (now < notBefore || now > notAfter) {
    yield finding(file, "CERTIFICATE_EXPIRED", `is valid from ${day(notBefore)} to ${day(notAfter)}`);
    return;
  }
  if (step !== undefined) yield finding(file, "CERTIFICATE_EXPIRES", `expires in ${days} d, on ${day(notAfter)}`);
  const anchors = config.trust.anchors.flatMap((each) => pemToDer(textOf(each) ?? ""));
  const crls = files(config).flatMap((each) => pemToDer(textOf(each) ?? "", "X509 CRL"));
  try {
    validatePath(
      raw,
      pemToDer(textOf(file) ?? "").slice(1),
      {
        anchors,
        crls,
        revocation: files(config).length < config.trust.crls.length ? "skip" : "require",
        crlStaleMs: dayMs,
      },
      now,
    );
  } catch (thrown) {
    yield finding(file, "CERTIFICATE_UNTRUSTED", reasonOf(thrown));
  }
}

const files = ({ trust }: Pick<Config, "trust">): readonly string[] => trust.crls.filter((each) => !isAddress(each));

function* authorities({ trust }: Config, now: Date): Generator<Finding> {
  for (const file of trust.anchors) {
    const pem = textOf(file);
    if (pem === undefined) {
      yield finding(file, "KEY_MISSING", isClosed(file) ? closed : "trust anchor");
      continue;
    }
    try {
      const anchors = pemToDer(pem).map(readCertificate);
      if (anchors.length === 0) yield finding(file, "CERTIFICATE_UNTRUSTED", "holds no certificate");
      for (const { notAfter } of anchors) {
        const { days, step } = expiryOf(notAfter, now);
        // One that has ended may still be trusted for what it issued once.
        const until = `ends in ${days} d, on ${day(notAfter)}, with all that it has issued`;
        if (step) yield finding(file, "CERTIFICATE_EXPIRES", until);
      }
    } catch (thrown) {
      yield finding(file, "CERTIFICATE_UNTRUSTED", reasonOf(thrown));
    }
  }
}

function* revocation({ trust }: Config, now: Date): Generator<Finding> {
  // What is fetched is looked at by --connect.
  for (const file of files({ trust })) {
    try {
      const [der] = pemToDer(textOf(file) ?? "", "X509 CRL");
      if (!der) yield finding(file, "CRL_MISSING", "fetch it from the authority");
      else {
        const { nextUpdate } = readCrl(der);
        if (nextUpdate < now) yield finding(file, "CRL_STALE", `should have been renewed on ${day(nextUpdate)}`);
      }
    } catch (thrown) {
      yield finding(file, "CRL_MISSING", reasonOf(thrown));
    }
  }
}

/** What systems and alerts name: without it a house does not start, or delivers nothing there. */
function* named({ file, own }: Config): Generator<Finding> {
  const { syslog = [], webhooks = [] } = own.alerts ?? {};
  const paths = [
    ...Object.values(own.systems).flatMap(({ mllp, dicom }) => [mllp?.tls, dicom?.tls, ...(mllp?.references ?? [])]),
    ...[...syslog, ...webhooks].map((target) => ({ trust: [target.ca, "token" in target ? target.token : undefined] })),
  ].flatMap((each) => each?.trust ?? []);
  for (const path of new Set(paths.filter((each) => each !== undefined))) {
    const at = resolve(dirname(file), path);
    if (textOf(at) === undefined)
      yield finding(at, "KEY_MISSING", "is not there, or cannot be read by this user; channels.yaml names it");
  }
}

function* folder({ own }: Config): Generator<Finding> {
  try {
    openFolder(own.data);
  } catch (thrown) {
    yield finding(own.data, "DATA_UNWRITABLE", reasonOf(thrown).replace(`${own.data} `, ""));
    return;
  }
  if ((statSync(own.data).mode & othersMay) !== 0) yield finding(own.data, "DATA_MODE", "chmod 700");
}

/** A port that is taken may be the site's own, running. */
async function listeners(config: Config): Promise<readonly Finding[]> {
  const checks = await readinessAt(config.own.admin, 1_000);
  if (checks)
    return checks
      .filter(({ check, state }) => state === "warn" && /^(channel|system) /.test(check))
      .map(({ check, says }) => finding(`${config.site} ${check}`, "STOPPED", says));
  const findings: Finding[] = [];
  for (const { direction, address, who } of doorsOf(config)) {
    if (direction === "out") continue;
    const [, at = "", number = ""] = /^(.*):(\d+)$/.exec(address) ?? [];
    const server = createServer();
    server.listen(Number(number), at);
    try {
      await once(server, "listening");
    } catch (thrown) {
      findings.push(finding(`${who} ${address}`, "PORT_TAKEN", whyUnlistened(thrown)));
    }
    server.close();
  }
  return findings;
}

function textOf(file: string): string | undefined {
  try {
    return existsSync(file) ? readFileSync(file, "utf8") : undefined;
  } catch {
    return undefined;
  }
}

const day = (at: Date): string => at.toISOString().slice(0, 10);
