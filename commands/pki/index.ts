/** `semrs pki`: keys and certificates, and their exchange with partners. */
import { X509Certificate } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Command, InvalidArgumentError, Option } from "commander";
import { pemToDer, readCertificate } from "../../envelope/certificate.ts";
import { Fault } from "../../errors.ts";
import { name as siteName } from "../../pipeline/config-values.ts";
import { trustOf } from "../envelope/keys.ts";
import { timeOf } from "../envelope/open.ts";
import { exits, guarded, print, say } from "../exit.ts";
import { collect } from "../options.ts";
import { positive } from "../send/peer.ts";
import { crlDays, defaultDays, initPki, type KeyName, keyNames, renewCrl, revoke } from "./authority.ts";
import { exportBundle, trustBundle } from "./bundle.ts";
import { importPkcs12 } from "./import.ts";
import { collectHost, issueFor, makeRequests } from "./requests.ts";
import { verdictsOf } from "./verify.ts";

type VerifyFlags = {
  readonly trust: readonly string[];
  readonly crl: readonly string[];
  readonly revocation: boolean;
  readonly at?: string;
  readonly json?: boolean;
};

export { authorityDays, initPki, type PkiOptions, revoke } from "./authority.ts";

/** It becomes a folder's name, and is what channels.yaml calls the site. */
const siteNamed = (value: string): string => {
  if (siteName.safeParse(value).success) return value;
  throw new InvalidArgumentError("a name is lower-case letters, digits and hyphens, for example hospital-a.");
};
const collectSites = (value: string, before: readonly string[]): readonly string[] => [...before, siteNamed(value)];

/** A certificate has a year of four digits (RFC 5280 4.1.2.5). */
const maxDays = 36_500;
function daysOf(value: string): number {
  if (positive(value) > maxDays) throw new InvalidArgumentError(`write days, ${maxDays} at most`);
  return Number(value);
}

/** Who asked for it, and the names it has in TLS: the request says so itself, and a person has to know better. */
function whoseOf(file: string): string {
  const { subject, subjectAltName = "" } = new X509Certificate(readFileSync(file));
  return [...subject.split("\n").reverse(), ...(subjectAltName ? [subjectAltName] : [])].join(", ");
}

export function pkiCommand(): Command {
  const pki = new Command("pki")
    .summary("make, show and exchange keys and certificates")
    .addHelpText(
      "beforeAll",
      "Examples:\n  semrs pki init pki --site registry --site hospital-a    a CA and everything for two sites\n  semrs pki export pki/hospital-a > hospital-a.pem        what a partner needs of us\n  semrs pki trust hospital-b.pem --as hospital-b          what we have from a partner\n",
    );
  pki
    .command("init")
    .summary("a CA, and keys and certificates for each site")
    .argument("<folder>", "where they go")
    .requiredOption("--site <name>", "a site; may be given several times", collectSites, [])
    .option("--rsa", "RSA-3072 keys to sign and decrypt with")
    .option("--legacy", "also RSA keys for the profile semrs-2017")
    .option("--days <days>", "validity, until the authority ends at most", daysOf, defaultDays)
    .action((folder: string, flags: { site: readonly string[]; rsa?: boolean; legacy?: boolean; days: number }) =>
      guarded("pki init", () => {
        const { site, rsa = false, legacy = false, days } = flags;
        return initPki(folder, site, { now: new Date(), rsa, legacy, days });
      }),
    );
  pki
    .command("csr")
    .summary("keys and certificate requests (PKCS#10) for a site; an authority issues the certificates")
    .argument("<folder>", "the site's key folder, pki/SITE")
    .requiredOption("--site <name>", "the site, as partners will name it", siteNamed)
    .option("--rsa", "RSA-3072 keys to sign and decrypt with")
    .option("--legacy", "also RSA keys for the profile semrs-2017")
    .option(
      "--host <name>",
      "a DNS name or IP address of its REST service; may be given several times",
      collectHost,
      [],
    )
    .action(
      (
        folder: string,
        { site, rsa, legacy, host }: { site: string; rsa?: boolean; legacy?: boolean; host: readonly string[] },
      ) =>
        guarded("pki csr", () => {
          const storage = join(folder, "storage.key");
          const isNew = !existsSync(storage);
          for (const file of makeRequests(folder, site, { rsa: rsa ?? false, legacy: legacy ?? false, hosts: host }))
            print(file);
          if (isNew)
            say(
              `${storage} is new: keep a copy of it apart. A data folder that is there already opens with the one before alone; put that in its place from its backup`,
            );
        }),
    );
  pki
    .command("issue")
    .summary("certificates for a site's requests, by the CA of a folder")
    .argument("<folder>", "folder of the CA (ca.key and ca.crt)")
    .argument("<csr...>", "requests: sign.csr decrypt.csr tls.csr")
    .option("--days <days>", "validity, until the authority ends at most", daysOf, defaultDays)
    .action((folder: string, files: readonly string[], { days }: { days: number }) =>
      guarded("pki issue", () => {
        for (const file of files) {
          const made = issueFor(folder, file, { now: new Date(), days });
          print(made);
          say(`  ${made}: ${whoseOf(made)}`);
        }
      }),
    );
  pki
    .command("export")
    .summary("what partners need of a site, in one PEM: its certificates, never a key")
    .argument("<folder>", "the site's key folder, pki/SITE")
    .option("--ca <file>", "also this authority's certificate, for partners that do not know it")
    .option("--crl <file>", "and its revocation list")
    .option("--legacy", "what partners need that are spoken to in semrs-2017")
    .action((folder: string, { ca, crl, legacy }: { ca?: string; crl?: string; legacy?: boolean }) =>
      guarded("pki export", () => {
        const { pem, fingerprints } = exportBundle(
          folder,
          [ca, crl].filter((file) => file !== undefined),
          legacy,
        );
        process.stdout.write(pem);
        say("Send it by any way, and read these out by telephone:");
        for (const line of fingerprints) say(`  ${line}`);
      }),
    );
  pki
    .command("trust")
    .summary("put a partner's exported certificates in place")
    .argument("<bundle>", "the PEM that it exported")
    .requiredOption("--as <name>", "its name under partners", siteNamed)
    .option("--folder <folder>", "where partners' folders are", "pki")
    .option("--legacy", "of a partner that is spoken to in semrs-2017")
    .action((bundle: string, { as: name, folder, legacy }: { as: string; folder: string; legacy?: boolean }) =>
      guarded("pki trust", () => {
        const { written, fingerprints, others } = trustBundle(readFileSync(bundle, "utf8"), folder, name, legacy);
        for (const file of written) print(file);
        for (const other of others) say(`not kept, since it is not of the house that the new one is of: ${other}`);
        say(`Compare with what ${name} reads out; until then do not start:`);
        for (const line of fingerprints) say(`  ${line}`);
      }),
    );
  pki
    .command("import")
    .summary("a key and its certificate from a PKCS#12 file")
    .argument("<file>", "PKCS#12 (.p12, .pfx)")
    .requiredOption("--to <folder>", "the site's key folder, pki/SITE")
    .addOption(new Option("--as <purpose>", "what the key is for").choices(keyNames).makeOptionMandatory())
    .option("--password-file <file>", "file with the password; without one, the password is empty")
    .action((file: string, flags: { to: string; as: KeyName; passwordFile?: string }) =>
      guarded("pki import", async () => {
        const password = flags.passwordFile ? readFileSync(flags.passwordFile, "utf8").replace(/\r?\n$/, "") : "";
        for (const name of await importPkcs12(file, flags.to, flags.as, password)) print(name);
      }),
    );
  pki
    .command("verify")
    .summary("whether certificates lead to a trusted authority; exit 65 when one does not")
    .argument("<file...>", "PEM files; further certificates in a file help to build its path")
    .option("--trust <file>", "certificate of an authority that is trusted; may be given several times", collect, [])
    .option("--crl <file>", "its revocation list; without one, ca.crl beside it", collect, [])
    .option("--no-revocation", "although no revocation list is at hand")
    .option("--at <time>", "as of this time (ISO 8601), not now")
    .option("--json", "print JSON")
    .action((files: readonly string[], flags: VerifyFlags) =>
      guarded("pki verify", () => {
        const trust = trustOf(flags.trust, flags.crl, !flags.revocation);
        const verdicts = verdictsOf(files, trust, flags.at ? timeOf(flags.at) : new Date());
        if (flags.json) print(JSON.stringify(verdicts));
        else
          for (const { file, subject, valid, reason } of verdicts)
            print(`${file}  ${valid ? "valid" : "NOT VALID"}  ${subject}${reason ? `  ${reason}` : ""}`);
        if (verdicts.some(({ valid }) => !valid)) process.exitCode = exits.data;
      }),
    );
  pki
    .command("show")
    .summary("what certificates say")
    .argument("<file...>", "PEM files")
    .option("--json", "print JSON")
    .action((files: readonly string[], { json }: { json?: boolean }) => guarded("pki show", () => show(files, json)));
  pki
    .command("revoke")
    .summary("revoke a certificate; rewrites ca.crl")
    .argument("<folder>", "folder of the CA")
    .argument("<certificate>", "PEM file")
    .action((folder: string, file: string) =>
      guarded("pki revoke", () => revoke(folder, readFileSync(file, "utf8"), new Date())),
    );
  pki
    .command("crl")
    .summary("sign the CA's revocation list anew, before it ends; nobody is revoked by it")
    .argument("<folder>", "folder of the CA")
    .option("--days <days>", "how long it counts", daysOf, crlDays)
    .action((folder: string, { days }: { days: number }) =>
      guarded("pki crl", () => {
        const until = renewCrl(folder, { now: new Date(), days });
        print(join(folder, "ca.crl"));
        say(`good until ${until.toISOString()}; all houses need it before the last one ends`);
      }),
    );
  return pki;
}

function show(files: readonly string[], json = false): void {
  const all = files.flatMap((file) => {
    const certificates = pemToDer(readFileSync(file, "utf8"));
    if (certificates.length === 0) throw new Fault("QUERY_INVALID", `${file} holds no certificate in PEM`);
    return certificates.map((der) => {
      const { subjectText: subject, keyUsage, notBefore, notAfter, sha256, serial } = readCertificate(der);
      return { file, subject, keyUsage, notBefore, notAfter, serial, sha256 };
    });
  });
  if (json) {
    print(JSON.stringify(all));
    return;
  }
  for (const { file, subject, keyUsage, notBefore, notAfter, serial, sha256 } of all) {
    const dates = `${notBefore.toISOString()} … ${notAfter.toISOString()}`;
    print([file, subject, (keyUsage ?? []).join(", "), dates, `serial ${serial}`, `sha256 ${sha256}`].join("\n  "));
  }
}
