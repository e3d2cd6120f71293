/** `semrs participants`: who takes part, as the registry's signed directory says, and whether channels.yaml knows them so. */
import { Command } from "commander";
import { Fault } from "../../errors.ts";
import { loadConfig } from "../../pipeline/config.ts";
import { loadKeys } from "../../pipeline/identity.ts";
import { writeFileOf } from "../envelope/files.ts";
import { columns, exits, guarded, print, say } from "../exit.ts";
import { wholeFile } from "../whole.ts";
import { compared, fetchPublic, written } from "./directory.ts";

type Flags = { readonly config: string; readonly json?: boolean };

export function participantsCommand(): Command {
  const participants = new Command("participants")
    .summary("who takes part: the registry's signed directory, beside channels.yaml")
    .addHelpText(
      "beforeAll",
      "Examples:\n  semrs participants list\n  semrs participants show hospital-b\n  semrs participants verify || echo a certificate differs\n",
    );
  const add = <F extends Flags>(name: string, summary: string, work: (flags: F) => Promise<void>) =>
    participants
      .command(name)
      .summary(summary)
      .option("-c, --config <file>", "configuration of the site (SITE says which)", "channels.yaml")
      .option("--json", "print JSON")
      .action((flags: F) => guarded(`participants ${name}`, () => work(flags)));
  add<Flags & { readonly out?: string }>("list", "everybody in the directory, one line each", list).option(
    "-o, --out <file>",
    "write the directory as it was signed, for openssl cms -verify",
  );
  add<Flags>("verify", "compare each partner's certificates with the directory's; exit 1 when one differs", verify);
  participants
    .command("show")
    .summary("what a house says of itself: resources, limits, profiles, certificates, version")
    .argument("<org>", "a partner")
    .option("-c, --config <file>", "configuration of the site (SITE says which)", "channels.yaml")
    .option("--json", "print JSON")
    .action((org: string, flags: Flags) => guarded("participants show", () => show(org, flags)));
  return participants;
}

function reading({ config: file }: Flags) {
  const config = loadConfig(file, process.env);
  if (config.registryPartner === config.site)
    throw new Fault("CONFIG_INVALID", `${config.site} is the registry itself; ask from a house`);
  return { config, keys: loadKeys(config) };
}

async function list({ out, ...flags }: Flags & { readonly out?: string }): Promise<void> {
  const { config, keys } = reading(flags);
  const { document, octets, signedAt } = await fetchPublic(config, keys, config.registryPartner, "participants");
  if (out !== undefined) await wholeFile(out, (path) => writeFileOf(path, [octets], 0o644));
  if (flags.json) return print(JSON.stringify(document));
  const rows = document.participants.map(({ org, roles, address, profiles, name }) => [
    org,
    roles.join(","),
    address,
    profiles.join(","),
    name,
  ]);
  for (const line of columns(rows)) print(line);
  say(`signed by ${document.by} at ${signedAt.toISOString()}`);
}

async function verify(flags: Flags): Promise<void> {
  const { config, keys } = reading(flags);
  const { document } = await fetchPublic(config, keys, config.registryPartner, "participants");
  const rows = compared(config, document);
  if (flags.json) print(JSON.stringify(rows));
  else
    for (const line of columns(rows.map(({ org, certificate, state, says }) => [org, certificate, state, says])))
      print(line);
  if (rows.some(({ state }) => state === "differs")) process.exitCode = exits.failed;
}

async function show(org: string, flags: Flags): Promise<void> {
  const config = loadConfig(flags.config, process.env);
  const { document, signedAt } = await fetchPublic(config, loadKeys(config), org, "house");
  if (flags.json) return print(JSON.stringify(document));
  const { house, version, resources, limits } = document;
  const certificates = Object.entries(house.certificates).map(([name, [first]]) => [
    `${name}.crt`,
    first ? written(Buffer.from(first, "base64")) : "none",
  ]);
  const rows = [
    ["name", house.name],
    ["roles", house.roles.join(", ")],
    ["version", version],
    ["profiles", house.profiles.join(", ")],
    ...certificates,
    ...resources.map(({ path, purposes }) => [path, purposes.join(", ")]),
    ...Object.entries(limits).map(([name, value]) => [name, String(value)]),
  ];
  for (const line of columns(rows)) print(line);
  say(`signed by ${house.org} at ${signedAt.toISOString()}`);
}
