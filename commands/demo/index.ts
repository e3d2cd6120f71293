/** `semrs demo`: three sites on this machine, a throw-away PKI, and records that travel from HIS A and PACS A to HIS B and PACS B. */
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Command } from "commander";
import { Fault } from "../../errors.ts";
import { makeFolderSync } from "../../folder.ts";
import { openAdminClient } from "../admin-client.ts";
import { exitOf, exits, guarded, ofAPerson, say } from "../exit.ts";
import { initPki } from "../pki/index.ts";
import { play } from "./play.ts";
import { ports } from "./ports.ts";
import { type Receivers, startReceivers } from "./receivers.ts";
import { type LogLine, portNames, type SiteProcess, startSiteProcess } from "./sites.ts";
import { openStory } from "./story.ts";

type Options = {
  readonly once?: boolean;
  readonly clean?: boolean;
  readonly json?: boolean;
  readonly sample: boolean;
  readonly folder: string;
};

const root = join(import.meta.dirname, "..", "..");
const siteNames = ["registry", "hospital-a", "hospital-b"] as const;

/** What the sites of the demo are, for a script: one line of JSON. */
export type Ready = {
  readonly ready: true;
  readonly "hospital-a": { pid: number; mllp: string; dicom: string; admin: string; data: string };
  readonly "hospital-b": { pid: number; admissions: string; admin: string; data: string; his: string; pacs: string };
  readonly registry: { pid: number; admin: string; data: string };
};

export function demoCommand(): Command {
  return new Command("demo")
    .summary("three sites on this machine; records travel; then it stays up")
    .description(
      "Starts a registry and two hospitals as processes of their own, with a throw-away PKI and fresh data, and sends sample records from A to B.",
    )
    .option(
      "--once",
      "end when the records have travelled; exit 0 only if every digest is equal, every signature verified and no queue left",
    )
    .option("--json", "one line of JSON on standard output when the sites are ready; everything else on standard error")
    .option("--no-sample", "start the sites and receivers, send nothing")
    .option("--clean", "remove what a demo left in its folder, and end")
    .option("--folder <folder>", "where PKI and data go", join(root, ".semrs"))
    .addHelpText(
      "before",
      "Examples:\n  npm start                       records travel, then it stays up\n  npm start -- --once             the same, then it ends\n  npm start --silent -- --json    for a script\n",
    )
    .action(async (options: Options) => {
      if (options.clean) return await guarded("demo --clean", () => clean(options.folder));
      try {
        process.exitCode = await demo(options);
      } catch (caught) {
        const thrown = ofAPerson(caught);
        process.stderr.write(
          `semrs demo: ${thrown instanceof Fault ? thrown.message : ((thrown as Error).stack ?? String(thrown))}\n`,
        );
        process.exitCode = exitOf(thrown);
      }
    });
}

async function demo(options: Options): Promise<number> {
  const out = options.json ? process.stderr : process.stdout;
  const story = openStory(out);
  const stopping = new AbortController();
  const interrupted = new Promise<void>((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => resolve());
  });
  const folder = freshFolder(options.folder);
  const sites: SiteProcess[] = [];
  let receivers: Receivers | undefined;
  try {
    story.say("SEMRS demo: making keys and starting registry, hospital-a and hospital-b …");
    await initPki(join(folder, "pki"), siteNames, { now: new Date() });
    receivers = await startReceivers(join(folder, "receivers"), stopping.signal);
    const settings = {
      PKI: join(folder, "pki"),
      DATA: join(folder, "data"),
      QUIET: "2s",
      STUDY_WAIT: "20s",
      EVERY: "1s",
      AGAIN_1: "1s",
      AGAIN_2: "2s",
      AGAIN_3: "3s",
      B_HIS: portOf(receivers.his.address),
      B_PACS: portOf(receivers.pacs.address),
    };
    const tell = (line: LogLine): void => {
      if (options.sample || line.level !== "info") story.tell(line);
    };
    const env = await startAll(settings, tell, sites);
    const ready = readyOf(sites, env, folder, receivers);
    if (options.json) process.stdout.write(`${JSON.stringify(ready)}\n`);
    story.say(`ready in ${(process.uptime()).toFixed(1)} s; all between sites is TLS with client certificates\n`);

    let exit = 0;
    if (options.sample) {
      const admins = Object.fromEntries(
        siteNames.map((name) => [name, openAdminClient(ready[name].admin, ready[name].data)]),
      );
      const played = play({ ready, receivers, story, admins, signal: stopping.signal });
      const ended = await Promise.race([played, interrupted.then(() => undefined)]);
      if (ended === undefined) return 130;
      for (const line of ended.lines) story.say(line);
      exit = ended.failures.length === 0 ? 0 : exits.failed;
      for (const failure of ended.failures) story.say(`FAILED: ${failure}`);
    }
    if (options.once) return exit;
    for (const line of invitation(ready, folder)) story.say(line);
    await interrupted;
    return 0;
  } finally {
    stopping.abort();
    await Promise.all(sites.map((site) => site.stop()));
    await receivers?.stop();
    rmSync(join(folder, "demo.pid"), { force: true });
  }
}

const maxStarts = 3;

/** Starts all three on free ports, which are in what it returns; whatever was started is in `sites`, for its end. */
async function startAll(
  settings: Readonly<Record<string, string>>,
  tell: (line: LogLine) => void,
  sites: SiteProcess[],
): Promise<Readonly<Record<string, string>>> {
  for (let attempt = 1; ; attempt += 1) {
    const env = { ...settings, ...(await ports(portNames)) };
    const start = (name: string) =>
      startSiteProcess(name, join(root, name === "registry" ? "examples/registry.yaml" : "channels.yaml"), env, tell);
    const results = await Promise.allSettled(siteNames.map(start));
    for (const each of results) if (each.status === "fulfilled") sites.push(each.value);
    const failed = results.find((each) => each.status === "rejected");
    if (!failed) return env;
    // Between choosing a port and listening on it another program may take it.
    const isTaken = failed.reason instanceof Fault && failed.reason.message.includes("cannot be listened on");
    if (!isTaken || attempt === maxStarts) throw failed.reason;
    await Promise.all(sites.splice(0).map((site) => site.stop()));
  }
}

/** Removes a demo's folder, unless a demo runs in it. */
function clean(folder: string): void {
  emptied(folder);
  say(`${folder} removed`);
}

/** Empties the folder, unless another demo runs in it. */
function freshFolder(folder: string): string {
  emptied(folder);
  makeFolderSync(folder, 0o700);
  writeFileSync(join(folder, marker), "", { mode: 0o600 });
  writeFileSync(join(folder, "demo.pid"), String(process.pid), { mode: 0o600 });
  return folder;
}

/** A demo removes what a demo has made, and nothing else. */
const marker = ".semrs-demo";
/** What one before the marker left. */
const made: readonly string[] = ["pki", "data", "receivers", "demo.pid"];

function emptied(folder: string): void {
  if (folder === "") throw new Fault("QUERY_INVALID", "--folder is empty; name a folder");
  const names = existsSync(folder) ? readdirSync(folder) : [];
  const isOfDemo =
    names.includes(marker) || (names.includes("receivers") && names.every((name) => made.includes(name)));
  if (names.length > 0 && !isOfDemo)
    throw new Fault("QUERY_INVALID", `${folder} holds what no demo has made; give --folder a place of its own`);
  const pidFile = join(folder, "demo.pid");
  const other = existsSync(pidFile) ? Number(readFileSync(pidFile, "utf8")) : 0;
  if (other > 0 && isDemo(other)) {
    throw new Fault(
      "ALREADY_RUNNING",
      `a demo runs already in ${folder} (process ${other}); stop it with Ctrl-C there, or give --folder another place`,
    );
  }
  if (existsSync(folder)) rmSync(folder, { recursive: true, force: true });
}

function isDemo(pid: number): boolean {
  try {
    process.kill(pid, 0);
    // A number may be somebody else's by now: on Linux the command line tells.
    const file = `/proc/${pid}/cmdline`;
    return !existsSync(file) || readFileSync(file, "utf8").includes("semrs");
  } catch {
    return false;
  }
}

const portOf = (address: string): string => address.slice(address.lastIndexOf(":") + 1);

function readyOf(
  sites: readonly SiteProcess[],
  env: Readonly<Record<string, string>>,
  folder: string,
  receivers: Receivers,
): Ready {
  const at = (name: string) => `127.0.0.1:${env[name]}`;
  const site = (name: string, admin: string) => {
    const pid = sites.find((each) => each.name === name)?.pid() ?? 0;
    return { pid, admin: `http://${at(admin)}`, data: join(folder, "data", name) };
  };
  return {
    ready: true,
    "hospital-a": { ...site("hospital-a", "A_ADMIN"), mllp: at("A_HIS"), dicom: `SEMRS_A@${at("A_PACS")}` },
    "hospital-b": {
      ...site("hospital-b", "B_ADMIN"),
      admissions: at("B_ADT"),
      his: receivers.his.folder,
      pacs: receivers.pacs.folder,
    },
    registry: site("registry", "REGISTRY_ADMIN"),
  };
}

function invitation(ready: Ready, folder: string): readonly string[] {
  const [a, b] = [ready["hospital-a"], ready["hospital-b"]];
  const [, host = "", port = ""] = /@(.*):(\d+)$/.exec(a.dicom) ?? [];
  const samples = "test/fixtures/hl7v2";
  return [
    "",
    "The sites stay up. Try your own data (another terminal, in this folder):",
    `  HIS A, a document:   npx semrs send mllp --to ${a.mllp} ${samples}/mdm-t02-121.hl7`,
    `  PACS A, images:      storescu -aet PACS_A -aec SEMRS_A ${host} ${port} *.dcm`,
    `                       npx semrs send dicom --to ${a.dicom} FILE…`,
    `  HIS B, an admission: npx semrs send mllp --to ${b.admissions} ${samples}/adt-a01.hl7`,
    `  what waits or is held:  npx semrs journal list --admin ${a.admin} --data ${a.data}`,
    `  delivered to HIS B:  ${b.his}`,
    `  delivered to PACS B: ${b.pacs}`,
    `  metrics:             ${a.admin}/metrics  ${b.admin}/metrics  ${ready.registry.admin}/metrics`,
    `  keys and data:       ${folder}`,
    "Ctrl-C ends all three.",
  ];
}
