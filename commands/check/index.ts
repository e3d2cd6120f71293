/** `semrs check`: everything that can be said of a configuration and of the machine it is on, before it runs. */
import { Command } from "commander";
import { type Config, readConfig } from "../../pipeline/config.ts";
import { type Finding, findingText } from "../../pipeline/config-findings.ts";
import { columns, exits, guarded, print, say } from "../exit.ts";
import { checkEnvironment } from "./environment.ts";
import { type Door, doorLines, doorsOf } from "./firewall.ts";
import { checkPeers } from "./peers.ts";

type Options = {
  readonly site?: string;
  readonly connect?: boolean;
  readonly file?: boolean;
  readonly strict?: boolean;
  readonly json?: boolean;
};

export function checkCommand(): Command {
  return new Command("check")
    .summary("lint channels.yaml, keys, folders and peers; print the firewall table")
    .description(
      "Reads the configuration for each site in it (or one), and for the site that SITE names its certificates, folders and ports. Exit 78 when something keeps a site from starting.",
    )
    .argument("[file]", "configuration", "channels.yaml")
    .option("--site <name>", "only this site; without it SITE, or every site of the file")
    .option("--connect", "also reach every partner and system")
    .option("--file", "the file alone: no keys, folders or ports")
    .option("--strict", "warnings are errors")
    .option("--json", "print JSON")
    .addHelpText(
      "before",
      "Examples:\n  semrs check                        channels.yaml and this machine\n  semrs check --site hospital-a --connect\n",
    )
    .action((file: string, options: Options) => guarded("check", () => check(file, options)));
}

async function check(file: string, options: Options): Promise<void> {
  const read = readSites(file, options.site);
  const configs = read.flatMap(({ config }) => (config ? [config] : []));
  const findings = [...read.flatMap((each) => each.findings)];
  const doors: Door[] = [];
  for (const config of configs) {
    doors.push(...doorsOf(config));
    if (!options.file) findings.push(...(await checkEnvironment(config, new Date())));
    if (options.connect) findings.push(...(await checkPeers(config)));
  }
  const distinct = [...new Map(findings.map((finding) => [findingText(finding), finding])).values()];
  const failing = distinct.filter(({ severity }) => severity === "error" || options.strict);
  if (options.json) print(JSON.stringify({ findings: distinct, doors }));
  else tell(distinct, doors, configs);
  if (failing.length > 0) process.exitCode = exits.config;
}

/** The file as each of its sites sees it; what is said of all of them is said once. */
function readSites(file: string, wanted: string | undefined) {
  const first = readConfig(file, { ...process.env, SITE: wanted ?? process.env.SITE ?? "unset" });
  const one = wanted ?? process.env.SITE;
  const names = one ? [one] : first.sites;
  return names.length === 0 ? [first] : names.map((SITE) => readConfig(file, { ...process.env, SITE }));
}

function tell(findings: readonly Finding[], doors: readonly Door[], configs: readonly Config[]): void {
  for (const finding of findings) print(findingText(finding));
  if (doors.length > 0) print(["", ...columns(doorLines(doors))].join("\n"));
  const count = (severity: string): number => findings.filter((each) => each.severity === severity).length;
  const sites = configs.map(({ site }) => site).join(", ");
  const end = sites && count("error") === 0 ? `; ${sites} can be started` : "";
  say(`${counted(count("error"), "error")}, ${counted(count("warn"), "warning")}${end}`);
}

const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? "" : "s"}`;
