/** `semrs init`: a folder from which one house runs: configuration, keys and requests, environment, service, a first test. */
import { copyFileSync, existsSync } from "node:fs";
import { join } from "node:path";
import { Command } from "commander";
import { Fault } from "../../errors.ts";
import { makeFolderSync } from "../../folder.ts";
import { name as siteName } from "../../pipeline/config-values.ts";
import { writeNewDurably } from "../../store/durable.ts";
import { guarded, print, say } from "../exit.ts";
import { initAuthority } from "../pki/authority.ts";
import { collectHost, issueFor, makeRequests } from "../pki/requests.ts";
import { channels, environment, service, tests } from "./templates.ts";

type Options = {
  readonly folder: string;
  readonly ownCa?: boolean;
  readonly rsa?: boolean;
  readonly host: readonly string[];
};

const editorSchema = join(import.meta.dirname, "..", "..", "channels.schema.json");
const sample = join(import.meta.dirname, "..", "..", "examples", "report.hl7");

export function initCommand(): Command {
  return new Command("init")
    .summary("everything one house begins with: channels.yaml, keys, requests, a service, a first test")
    .description(
      "Writes a commented channels.yaml whose channel runs in the shadow (accepts, validates, seals, sends nothing), keys and certificate requests, .env.example, a systemd unit and channels.test.yaml. Nothing that exists is overwritten.",
    )
    .argument("<site>", "name of the house, as partners will write it: hospital-a")
    .option("--folder <folder>", "where it goes", ".")
    .option(
      "--own-ca",
      "also a certification authority of one's own, and certificates: for a trial, or for an exchange of one's own",
    )
    .option("--rsa", "RSA-3072 keys to sign and decrypt with")
    .option("--host <name>", "DNS name or IP address of the house's REST service", collectHost, [])
    .addHelpText("before", "Example:\n  semrs init hospital-a --own-ca && semrs check && semrs test\n")
    .action((site: string, options: Options) => guarded("init", () => init(site, options)));
}

function init(site: string, { folder, ownCa, rsa, host }: Options): void {
  if (!siteName.safeParse(site).success)
    throw new Fault(
      "CONFIG_INVALID",
      `"${site}": a name is lower-case letters, digits and hyphens, for example hospital-a`,
    );
  // An unset variable of a script, not the folder that it happens to be in.
  if (folder === "") throw new Fault("QUERY_INVALID", "--folder is empty; name a folder, or . for this one");
  const at = (path: string): string => join(folder, path);
  const files = {
    "channels.yaml": channels(site),
    "channels.test.yaml": tests(site),
    ".env.example": environment(site),
    [`semrs-${site}.service`]: service(site, folder),
  };
  const taken = Object.keys(files).filter((path) => existsSync(at(path)));
  if (taken.length > 0)
    throw new Fault("CONFIG_INVALID", `${taken.join(", ")} exists; move it away, or give --folder another place`);
  makeFolderSync(folder);
  const keys = at(`pki/${site}`);
  const requests = makeRequests(keys, site, { rsa: rsa ?? false, hosts: host });
  const now = new Date();
  if (ownCa) initAuthority(at("pki"), now);
  const issued = ownCa ? requests.map((file) => issueFor(at("pki"), file, { now, days: 825 })) : [];
  makeFolderSync(at("samples"));
  copyFileSync(sample, at("samples/report.hl7"));
  copyFileSync(editorSchema, at("channels.schema.json"));
  // Last: what a second attempt would not write over is there only when the rest is.
  for (const [path, text] of Object.entries(files)) writeNewDurably(at(path), text, 0o644);
  for (const path of [...Object.keys(files), "samples/report.hl7", "channels.schema.json"]) print(at(path));
  for (const file of [...requests, ...issued]) print(file);
  for (const line of next(site, keys, ownCa ?? false)) say(line);
}

const next = (site: string, keys: string, isIssued: boolean): readonly string[] => [
  "",
  "Next:",
  ...(isIssued
    ? []
    : [
        `  have ${keys}/*.csr issued by your authority; put the certificates beside them as sign.crt, decrypt.crt and tls.crt`,
      ]),
  `  keep a copy of ${keys}/storage.key apart: without it the data folder cannot be read`,
  "  semrs check          what is missing",
  "  semrs test           channels.test.yaml, on the real channel",
  `  semrs run            ${site}, in the shadow: nothing leaves until route says so`,
];
