/** Registry, hospital A and hospital B as processes, with HIS B and PACS B behind B: what is done to one of them is seen at the far end. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ports } from "../../../commands/demo/ports.ts";
import { portNames } from "../../../commands/demo/sites.ts";
import { initPki } from "../../../commands/pki/index.ts";
import type { Balance } from "../../../pipeline/reconcile.ts";
import { type Ran, root, semrs } from "../../commands/cli.ts";
import { until } from "../../sites.ts";
import { type Home, type House, startHouse } from "../house.ts";
import { type Arrived, type Counted, type Ledger, readLedger, reconcile } from "./ledger.ts";
import type { Figures } from "./trial.ts";

export const siteNames = ["registry", "hospital-a", "hospital-b"] as const;
export type SiteName = (typeof siteNames)[number];

export type ExchangeOptions = {
  /** Where the data of a site goes; its own file system, for instance. */
  readonly data?: Partial<Readonly<Record<SiteName, string>>>;
  /** Settings of the process of a site. */
  readonly env?: Partial<Readonly<Record<SiteName, Readonly<Record<string, string>>>>>;
  /** The command a site runs under. */
  readonly under?: Partial<Readonly<Record<SiteName, readonly string[]>>>;
  /** Another checkout for hospital A, which every later start takes from `program()`. */
  readonly program?: () => string;
  /** Changes the shipped channels.yaml, which pushes each record to hospital B. */
  readonly edit?: (yaml: string) => string;
  /** Addresses of HIS B and PACS B, and the command they run under. */
  readonly receivers?: { readonly his: string; readonly pacs: string; readonly under: readonly string[] };
};

export type Exchange = {
  readonly folder: string;
  readonly env: Readonly<Record<string, string>>;
  readonly homes: Readonly<Record<SiteName, Home>>;
  house(site: SiteName): House;
  /** Starts a site again; how long it took until it was ready, in ms; whether it got ready is in `failings`. */
  start(site: SiteName): Promise<number>;
  /** Which sites did not get ready, and why. */
  readonly failings: readonly string[];
  /** What /health/ready says as text, its status first; empty where nobody answers. */
  ready(site: SiteName): Promise<string>;
  /** Deliveries and items of a site that are not done. */
  waiting(site: SiteName): Promise<number>;
  /** What `semrs verify` says of a running site. */
  verify(site: SiteName): Promise<Ran>;
  /** HIS B and PACS B break off whatever they are doing, and are there again. */
  resetReceivers(): Promise<void>;
  /** HIS B refuses documents in which this is written, until the function that comes back is called. */
  poison(text: string): () => void;
  arrived(): readonly Arrived[];
  /** Waits until all that was acknowledged has arrived and nothing waits at A and B; how long that took, in ms. */
  drain(ledgers: readonly Ledger[], ms?: number): Promise<number>;
  count(ledgers: readonly Ledger[]): Counted;
  /** The figures of a trial that is over; every site has to be ready, and its books balanced. */
  figures(ledgers: readonly Ledger[], drainedMs: number, more?: Judged): Promise<Figures>;
  /** Aborted when all is closed: whoever sends to it stops. */
  readonly signal: AbortSignal;
  /** All log lines of the sites so far. */
  log(): string;
  [Symbol.asyncDispose](): Promise<void>;
};

/** Notes, and sentences with whether they hold. */
type Judged = { readonly notes?: readonly string[]; readonly criteria?: Readonly<Record<string, boolean>> };

const loopback = "127.0.0.1";
const adminPorts = { registry: "REGISTRY_ADMIN", "hospital-a": "A_ADMIN", "hospital-b": "B_ADMIN" } as const;
const drainMs = 240_000;
const readyMs = 20_000;

export async function openExchange(options: ExchangeOptions = {}): Promise<Exchange> {
  const folder = mkdtempSync(join(tmpdir(), "semrs-matrix-"));
  const { his, pacs, under } = options.receivers ?? { his: loopback, pacs: loopback, under: [] };
  await initPki(join(folder, "pki"), siteNames, { now: new Date() });
  const free = await ports([...portNames, "B_HIS", "B_PACS"]);
  const common = {
    ...free,
    PKI: join(folder, "pki"),
    QUIET: "300ms",
    STUDY_WAIT: "60s",
    RETRY: "200ms",
  };
  const homes = Object.fromEntries(
    siteNames.map((site): [SiteName, Home] => {
      const home = join(folder, site);
      mkdirSync(home);
      const yaml = readFileSync(join(root, site === "registry" ? "examples/registry.yaml" : "channels.yaml"), "utf8");
      const pushed = yaml
        .replaceAll("route: [repository]", "route: [repository, hospital-b]")
        .replaceAll("max: 5m", "max: 1s")
        .replace(/connect: "127\.0\.0\.1:\$\{B_HIS:2577\}"/, () => connectTo(his, "B_HIS"))
        .replace(/connect: "127\.0\.0\.1:\$\{B_PACS:11113\}"/, () => connectTo(pacs, "B_PACS"));
      writeFileSync(join(home, "channels.yaml"), site === "registry" ? yaml : (options.edit?.(pushed) ?? pushed));
      const data = options.data?.[site] ?? join(folder, "data");
      const own = { DATA: data, SITE: site, ADMIN: free[adminPorts[site]] ?? "", HIS: free.A_HIS ?? "" };
      const env = { ...common, ...own, ...options.env?.[site] };
      return [site, { folder: home, data: join(data, site), env, under: options.under?.[site] ?? [] }];
    }),
  ) as Record<SiteName, Home>;

  const ledger = join(folder, "arrived.ledger");
  closeSync(openSync(ledger, "w"));
  let receivers: ChildProcess | undefined;
  const startReceivers = async (): Promise<void> => {
    const script = join(import.meta.dirname, "receivers.ts");
    const [command = "", ...args] = [...under, process.execPath, script, ledger, his, free.B_HIS, pacs, free.B_PACS];
    const child = spawn(command, args as string[], { stdio: ["ignore", "pipe", "inherit"] });
    receivers = child;
    await once(child.stdout, "data");
  };
  await startReceivers();

  const houses = new Map<SiteName, House>();
  const earlier: string[] = [];
  const failings: string[] = [];
  const house = (site: SiteName): House => {
    const running = houses.get(site);
    if (!running) throw new Error(`${site} was not started`);
    return running;
  };
  const ready = async (site: SiteName): Promise<string> => {
    const url = `http://127.0.0.1:${free[adminPorts[site]]}/health/ready`;
    const answer = await fetch(url, { headers: { accept: "text/plain" } }).catch(() => undefined);
    return answer ? `${answer.status} ${await answer.text()}` : "";
  };
  const start = async (site: SiteName): Promise<number> => {
    const before = houses.get(site);
    if (before) earlier.push(before.log());
    const started = performance.now();
    const program = site === "hospital-a" ? options.program?.() : undefined;
    houses.set(site, await startHouse({ ...homes[site], ...(program ? { program } : {}) }));
    await until(`${site} is ready`, async () => (await ready(site)).startsWith("200"), readyMs).catch(async () => {
      failings.push(`${site} does not get ready: ${(await ready(site)).match(/^fail .*$/gm)?.join("; ")}`);
    });
    return performance.now() - started;
  };
  const closing = new AbortController();
  const close = async (): Promise<void> => {
    closing.abort();
    for (const running of houses.values()) await running.end("SIGKILL");
    receivers?.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await Promise.all(siteNames.map(start));
  } catch (thrown) {
    await close();
    throw thrown;
  }
  const arrived = (): readonly Arrived[] => readLedger(ledger);
  const count = (ledgers: readonly Ledger[]): Counted => reconcile(ledgers, arrived());
  const waits = async (site: SiteName): Promise<number> => {
    const counts = await house(site).admin.get<Record<"items" | "deliveries", Record<string, number>>>("/counts");
    const { queued = 0, inflight = 0, ambiguous = 0 } = counts.deliveries;
    return queued + inflight + ambiguous + (counts.items.waiting ?? 0);
  };
  return {
    folder,
    env: common,
    homes,
    house,
    start,
    failings,
    ready,
    waiting: waits,
    verify: (site) => semrs(["verify"], { cwd: homes[site].folder, env: homes[site].env }),
    resetReceivers: async () => {
      receivers?.kill("SIGKILL");
      await startReceivers();
    },
    poison: (text) => {
      writeFileSync(`${ledger}.poison`, text);
      return () => rmSync(`${ledger}.poison`);
    },
    signal: closing.signal,
    arrived,
    count,
    drain: async (ledgers, ms = drainMs) => {
      const started = performance.now();
      const isDone = async () =>
        count(ledgers).lost === 0 && (await waits("hospital-a")) + (await waits("hospital-b")) === 0;
      // What never arrives is a figure of the table, not an error of the trial.
      await until("drained", () => isDone().catch(() => false), ms).catch(() => undefined);
      return performance.now() - started;
    },
    log: () => [...earlier, ...[...houses.values()].map((each) => each.log())].join(""),
    figures: async (ledgers, drainedMs, { notes = [], criteria = {} } = {}) => {
      const books = await Promise.all(
        (["hospital-a", "hospital-b"] as const).map(async (site) => {
          const balance = await house(site)
            .admin.get<Balance>("/status")
            .catch(() => undefined);
          if (!balance) return [`${site} does not answer`];
          return balance.holds ? [] : [`the books of ${site} do not balance`];
        }),
      );
      const unmet = Object.entries(criteria).flatMap(([criterion, holds]) =>
        holds ? [] : [`it does not hold that ${criterion}`],
      );
      return { ...count(ledgers), drainedMs, notes, failures: [...failings, ...books.flat(), ...unmet] };
    },
    [Symbol.asyncDispose]: close,
  };
}

/** Off this machine in clear only for a reason. */
const connectTo = (host: string, port: string): string =>
  `connect: "${host}:\${${port}}"${host === loopback ? "" : ', clearText: "a cable of its own"'}`;
