/** The demo's three sites: each a process of its own, as it would run in a real house; restarted when it dies. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
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
