/** One house in the shadow of its feed, as a process of its own, so that faults can be done to it and its disk. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type AdminClient, openAdminClient } from "../../commands/admin-client.ts";
import { ports } from "../../commands/demo/ports.ts";
import { root, semrs } from "../commands/cli.ts";
import { until } from "../sites.ts";

/** Where a house lives: its configuration and keys in `folder`, everything it keeps in `data`. */
export type Home = {
  readonly folder: string;
  readonly data: string;
  readonly env: Readonly<Record<string, string>>;
  /** A command that runs the house as its own, so as to limit it. */
  readonly under?: readonly string[];
  /** Of Node. */
  readonly flags?: readonly string[];
  /** Another checkout of the program. */
  readonly program?: string;
};

export type House = {
  readonly his: { readonly host: string; readonly port: number };
  readonly process: ChildProcess;
  /** Lines of its log so far. */
  readonly log: () => string;
  readonly admin: AdminClient;
  /** Sends a signal and waits for the end; the exit code, or null after a kill. */
  end(signal: NodeJS.Signals): Promise<number | null>;
};

const portNames = ["ADMIN", "REST", "HIS", "PACS"] as const;

/** A new house as `semrs init` makes it; `data` may lie on another file system. */
export async function makeHome(data?: string): Promise<Home> {
  const folder = mkdtempSync(join(tmpdir(), "semrs-house-"));
  const { exit, err } = await semrs(["init", "hospital-a", "--own-ca"], { cwd: folder });
  if (exit !== 0) throw new Error(err);
  const env = {
    ...(await ports(portNames)),
    DATA: data ?? join(folder, "data"),
    QUIET: "200ms",
    STUDY_WAIT: "1s",
  };
  return { folder, data: env.DATA, env };
}

const readyMs = 15_000;

/** Starts it and waits until it answers whether it is ready. */
export async function startHouse({ folder, data, env, under = [], flags = [], program = root }: Home): Promise<House> {
  const [command = "", ...args] = [...under, process.execPath, ...flags, join(program, "semrs.js"), "run"];
  const child = spawn(command, args, {
    cwd: folder,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let text = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (text += chunk));
  const url = `http://127.0.0.1:${env.ADMIN}`;
  await until(
    "the house is ready",
    async () => {
      if (child.exitCode !== null) throw new Error(`the house ended with ${child.exitCode}: ${text}`);
      return await fetch(`${url}/health/ready`).then(
        ({ status }) => status === 200 || status === 503,
        () => false,
      );
    },
    readyMs,
  );
  return {
    his: { host: "127.0.0.1", port: Number(env.HIS) },
    process: child,
    log: () => text,
    admin: openAdminClient(url, data),
    end: async (signal) => {
      if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
      const ended = once(child, "close");
      child.kill(signal);
      // Its last lines are read by then, too.
      await ended;
      return child.exitCode;
    },
  };
}

/** Changes channels.yaml of a home. */
export function reconfigure({ folder }: Home, edit: (yaml: string) => string): void {
  const file = join(folder, "channels.yaml");
  const before = readFileSync(file, "utf8");
  const after = edit(before);
  if (after === before) throw new Error("the edit changed nothing");
  writeFileSync(file, after);
}
