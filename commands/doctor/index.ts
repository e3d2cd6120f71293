/** `semrs doctor`: everything that can be wrong with a house and its machine, one line each, and what to do about it. */
import { Command } from "commander";
import { reasonOf } from "../../errors.ts";
import { type Config, readConfig } from "../../pipeline/config.ts";
import { type Finding, type FindingCode, meaningOf } from "../../pipeline/config-findings.ts";
import { loadKeys } from "../../pipeline/identity.ts";
import type { CheckState } from "../../pipeline/readiness.ts";
import { readinessAt } from "../admin-client.ts";
import { checkEnvironment } from "../check/environment.ts";
import { checkPeers } from "../check/peers.ts";
import { exits, guarded, print, say } from "../exit.ts";
import { compared, fetchPublic } from "../participants/directory.ts";
import { clocksOf, type Diagnosis, descriptorsOf, spaceOf, storeOf, syncOf } from "./machine.ts";

type Options = { readonly site?: string; readonly json?: boolean };

export function doctorCommand(): Command {
  return new Command("doctor")
    .summary("what is wrong with this house and its machine, and what to do")
    .description(
      "Looks at the configuration, keys, certificates, file modes, ports, the disk (space, and how fast it syncs), the store, the partners and systems, their clocks, and the running site. Exit 78 when something of this house is wrong, 69 when something beside it is, 0 otherwise.",
    )
    .argument("[file]", "configuration", "channels.yaml")
    .option("--site <name>", "this site; without it SITE, or what the file says")
    .option("--json", "print JSON")
    .addHelpText(
      "before",
      "Examples:\n  semrs doctor\n  semrs doctor --json | jq '.checks[] | select(.state == \"fail\")'\n",
    )
    .action((file: string, options: Options) => guarded("doctor", () => doctor(file, options)));
}

async function doctor(file: string, { site, json }: Options): Promise<void> {
  const env = site ? { ...process.env, SITE: site } : process.env;
  const { config, findings } = readConfig(file, env);
  const rows: Diagnosis[] = [...grouped(["configuration"], findings)];
  if (config) rows.push(...(await examine(config)));
  if (json) print(JSON.stringify({ site: config?.site ?? null, checks: rows }));
  else print(rows.flatMap(lines).join("\n"));
  const count = (state: CheckState): number => rows.filter((row) => row.state === state).length;
  say(`${count("fail")} fail, ${count("warn")} warn, ${count("pass")} pass`);
  const failing = rows.filter(({ state }) => state === "fail");
  if (failing.length > 0)
    process.exitCode = failing.some(({ check }) => ofHouse.has(check)) ? exits.config : exits.unavailable;
}

async function examine(config: Config): Promise<readonly Diagnosis[]> {
  const environment = await checkEnvironment(config, new Date());
  // Without keys nobody can be asked.
  const canAsk = !environment.some(({ code, severity }) => areaOf(code) === "keys" && severity === "error");
  const peers = canAsk ? await checkPeers(config) : [];
  const rows: Diagnosis[] = [
    ...grouped(["keys", "certificates", "revocation lists", "data folder", "ports"], [...environment, ...peers]),
  ];
  if (!environment.some(({ code }) => code === "DATA_UNWRITABLE"))
    rows.push(syncOf(config), spaceOf(config), ...descriptorsOf(config), await storeOf(config));
  if (canAsk) {
    rows.push(...grouped(["peers"], peers), ...(await clocksOf(config, loadKeys(config))), ...(await listed(config)));
  }
  rows.push(...(await running(config)));
  return rows;
}

/** What the registry's directory knows otherwise than channels.yaml. */
async function listed(config: Config): Promise<readonly Diagnosis[]> {
  const check = "directory";
  if (config.registryPartner === config.site || !(config.registryPartner in config.partners)) return [];
  try {
    const { document } = await fetchPublic(config, loadKeys(config), config.registryPartner, "participants");
    const differing = compared(config, document).filter(({ state }) => state === "differs");
    if (differing.length === 0) return [{ check, state: "pass", says: "knows the same certificates as channels.yaml" }];
    const next =
      "Ask the house which one is right, over another way than this; then semrs pki trust, and semrs reload.";
    return differing.map(({ org, certificate, says }) => ({
      check,
      state: "warn",
      says: `${certificate}.crt of ${org}: ${says}`,
      next,
    }));
  } catch (thrown) {
    return [
      {
        check,
        state: "warn",
        says: reasonOf(thrown),
        next: "See the line of this peer; an older registry publishes none.",
      },
    ];
  }
}

const areas = {
  keys: /^(KEY_|STORAGE_KEY)/,
  certificates: /^(CERTIFICATE_|PARTNER_CERTIFICATE)/,
  "revocation lists": /^CRL_/,
  "data folder": /^DATA_/,
  ports: /^PORT_/,
  peers: /^PEER_/,
  configuration: /./,
} as const;
type Area = keyof typeof areas;
const areaOf = (code: FindingCode): Area =>
  (Object.keys(areas) as Area[]).find((area) => areas[area].test(code)) ?? "configuration";
/** What a person of this house corrects here: exit 78. */
const ofHouse: ReadonlySet<string> = new Set([
  "configuration",
  "keys",
  "certificates",
  "revocation lists",
  "data folder",
]);

/** One row a finding, and one for each area in which there is none. */
function grouped(wanted: readonly Area[], findings: readonly Finding[]): readonly Diagnosis[] {
  return wanted.flatMap((area): readonly Diagnosis[] => {
    const of = findings.filter(({ code }) => areaOf(code) === area);
    if (of.length === 0) return [{ check: area, state: "pass", says: "nothing found" }];
    return of.map(({ file, line, column, severity, code, message }) => ({
      check: area,
      state: severity === "error" ? "fail" : "warn",
      says: `${file}${line > 0 ? `:${line}:${column}` : ""} ${code} ${message}`,
      next: meaningOf(code).remedy,
    }));
  });
}

const askMs = 10_000;

/** What the site says of itself, if it runs. */
async function running({ own: { admin } }: Config): Promise<readonly Diagnosis[]> {
  const check = "running site";
  const checks = await readinessAt(admin, askMs);
  if (checks) return checks.map((each) => ({ ...each, check: `${check}, ${each.check}` }));
  return [{ check, state: "warn", says: "does not answer on its admin port", next: "Start it: semrs run." }];
}

const lines = ({ state, check, says, next }: Diagnosis): readonly string[] => [
  `${state} ${check}: ${says}`,
  ...(next && state !== "pass" ? [`     → ${next}`] : []),
];
