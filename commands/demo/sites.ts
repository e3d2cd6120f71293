/** The demo's three sites: each a process of its own, as it would run in a real house; restarted when it dies. */
import { type ChildProcess, spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, createServer, type Server } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Fault } from "../../errors.ts";

/** One line of a site's log. */
export type LogLine = {
  readonly time: string;
  readonly level: string;
  readonly site: string;
  readonly event: string;
  readonly channel?: string;
  readonly controlId?: string;
  readonly peer?: string;
  readonly message?: string;
  readonly code?: string;
  readonly reason?: string;
  readonly bytes?: number;
  readonly count?: number;
  readonly ms?: number;
};

export type SiteProcess = { readonly name: string; pid(): number; stop(): Promise<void> };

const root = join(import.meta.dirname, "..", "..");
const startMs = 20_000;
const stopMs = 10_000;
const restartMs = 500;
const maxRestarts = 50;

/** Every port of the three sites, as their configurations name it. */
export const portNames = [
  "REGISTRY_PORT",
  "REGISTRY_ADMIN",
  "A_PORT",
  "A_ADMIN",
  "A_HIS",
  "A_PACS",
  "B_PORT",
  "B_ADMIN",
  "B_ADT",
];

/** Ports that are free now; one that the environment names is kept if nobody listens on it. */
export async function ports(names: readonly string[]): Promise<Record<string, string>> {
  // All are held open until the last is chosen: no number comes twice.
  const probes = await Promise.allSettled(names.map((name) => probe(name, Number(process.env[name] ?? 0))));
  const servers = probes.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
  const chosen = servers.map((server) => String((server.address() as AddressInfo).port));
  await Promise.all(servers.map(async (server) => await once(server.close(), "close")));
  const busy = probes.find((each) => each.status === "rejected");
  if (busy) throw busy.reason;
  return Object.fromEntries(names.map((name, index) => [name, chosen[index] ?? ""]));
}

/** Below the range that systems take for outgoing connections: a site that restarts finds its port free again. */
const portRange = { from: 15_000, to: 32_000 } as const;
const maxProbes = 100;

async function probe(name: string, wanted: number): Promise<Server> {
  if (wanted > 0) {
    const server = await bound(wanted);
    if (server) return server;
    throw new Fault(
      "ALREADY_RUNNING",
      `port ${wanted} (${name}) is busy; stop what listens there, or unset ${name} to have a free one chosen`,
    );
  }
  for (let attempt = 0; attempt < maxProbes; attempt += 1) {
    const server = await bound(randomInt(portRange.from, portRange.to));
    if (server) return server;
  }
  throw new Fault("CONFIG_INVALID", `no free port between ${portRange.from} and ${portRange.to}; set ${name}`);
}

async function bound(port: number): Promise<Server | undefined> {
  const server = createServer().listen(port, "127.0.0.1");
  return await once(server, "listening").then(
    () => server,
    () => undefined,
  );
}

/** Starts a site; resolves when it is ready. `lines` receives its log. */
export async function startSiteProcess(
  name: string,
  config: string,
  env: Readonly<Record<string, string>>,
  lines: (line: LogLine) => void,
): Promise<SiteProcess> {
  let child: ChildProcess;
  let isStopping = false;
  let restarts = 0;
  const start = async (): Promise<void> => {
    // The site stops when this process is gone, however that came about: its standard input ends.
    child = spawn(process.execPath, [join(root, "semrs.js"), "run", "--config", config, "--until-input-ends"], {
      env: { ...process.env, ...env, SITE: name },
      stdio: ["pipe", "pipe", "pipe"],
      detached: true,
    });
    const said: string[] = [];
    child.stderr?.setEncoding("utf8").on("data", (text: string) => said.push(text));
    child.stdin?.on("error", () => undefined);
    const ready = new Promise<void>((resolve, reject) => {
      const late = setTimeout(
        () => reject(new Fault("UNEXPECTED", `${name} was not ready within ${startMs} ms`)),
        startMs,
      );
      child.once("exit", (code) =>
        reject(new Fault("CONFIG_INVALID", said.join("").trim() || `${name} ended with exit code ${code}`)),
      );
      createInterface({ input: child.stdout ?? process.stdin }).on("line", (text) => {
        const line = parse(text);
        if (!line) return;
        lines(line);
        if (line.event !== "engine.started") return;
        clearTimeout(late);
        resolve();
      });
    });
    await ready;
    child.once("exit", (code, signal) => {
      if (isStopping) return;
      const reason = `ended with ${signal ?? `exit code ${code}`}; starting it again`;
      lines({ time: new Date().toISOString(), level: "warn", site: name, event: "demo.restarted", reason });
      restarts += 1;
      if (restarts <= maxRestarts)
        setTimeout(() => void start().catch((thrown: Error) => lines(died(name, thrown))), restartMs);
    });
  };
  await start();
  return {
    name,
    pid: () => child.pid ?? 0,
    stop: async () => {
      isStopping = true;
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, "exit");
      child.kill("SIGTERM");
      const patience = setTimeout(() => child.kill("SIGKILL"), stopMs);
      await ended;
      clearTimeout(patience);
    },
  };
}

const died = (site: string, thrown: Error): LogLine => {
  return { time: new Date().toISOString(), level: "error", site, event: "demo.died", reason: thrown.message };
};

function parse(text: string): LogLine | undefined {
  try {
    return JSON.parse(text) as LogLine;
  } catch {
    return undefined;
  }
}
