/** Processes that are measured: the demo's sites as ours, programs of Debian as peers. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type AdminClient, openAdminClient } from "../commands/admin-client.ts";
import type { Ready } from "../commands/demo/index.ts";

const root = join(import.meta.dirname, "..");
const readyMs = 20_000;

const made: string[] = [];
process.once("exit", () => {
  for (const folder of made) rmSync(folder, { recursive: true, force: true });
});

/** A new folder, gone when the measurement ends: what is measured may be gigabytes. */
export function fresh(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), `semrs-bench-${name}-`));
  made.push(folder);
  return folder;
}

export type Exchange = {
  readonly ready: Ready;
  readonly a: AdminClient;
  readonly b: AdminClient;
  stop(): Promise<void>;
};

/** Registry and two hospitals, each a process of its own, with nothing in them. `env` changes their settings. */
export async function startExchange(env: Readonly<Record<string, string>> = {}): Promise<Exchange> {
  const folder = join(fresh("ours"), "demo");
  const demo = spawn(process.execPath, [join(root, "semrs.js"), "demo", "--json", "--no-sample", "--folder", folder], {
    stdio: ["ignore", "pipe", "ignore"],
    env: { ...process.env, ...env },
  });
  for await (const line of createInterface({ input: demo.stdout })) {
    if (!line.startsWith("{")) continue;
    const ready = JSON.parse(line) as Ready;
    const admin = (site: "hospital-a" | "hospital-b") => openAdminClient(ready[site].admin, ready[site].data);
    return { ready, a: admin("hospital-a"), b: admin("hospital-b"), stop: () => stopped(demo) };
  }
  throw new Error("the demo did not start");
}

/** Starts a program and waits until its port answers. */
export async function startPeer(
  command: string,
  args: readonly string[],
  port: number,
  env: Readonly<Record<string, string>> = {},
): Promise<{ readonly pid: number; stop(): Promise<void> }> {
  const child = spawn(command, args, { stdio: "ignore", env: { ...process.env, TCP_NODELAY: "1", ...env } });
  const end = Date.now() + readyMs;
  while (!(await answers(port))) {
    if (Date.now() > end || child.exitCode !== null) throw new Error(`${command} did not listen on ${port}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return { pid: child.pid ?? 0, stop: () => stopped(child) };
}

/** Undefined when the program (or Python module, `python3:module`) is there, else the reason. */
export function missing(name: string): string | undefined {
  const [program = "", module] = name.split(":");
  try {
    if (module) execFileSync("/usr/bin/python3", ["-c", `import ${module}`], { stdio: "ignore" });
    else execFileSync("/bin/sh", ["-c", 'command -v "$0"', program], { stdio: "ignore" });
    return undefined;
  } catch {
    return `${name} is not installed`;
  }
}

async function answers(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

async function stopped(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill("SIGTERM");
  await ended;
}

/** Waits until a count is reached; fails with what was counted. */
export async function counted(
  what: string,
  wanted: number,
  count: () => number | Promise<number>,
  ms = 120_000,
  everyMs = 20,
): Promise<void> {
  const end = Date.now() + ms;
  for (;;) {
    const now = await count();
    if (now >= wanted) return;
    if (Date.now() > end) throw new Error(`${what}: ${now} of ${wanted}`);
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}
