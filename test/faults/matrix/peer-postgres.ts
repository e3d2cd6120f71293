/** PostgreSQL in our place: rows of 1 KB, one transaction each, told to be committed, and there afterwards or not. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { chmodSync, chownSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { ports } from "../../../commands/demo/ports.ts";
import { until } from "../../sites.ts";
import type { Peer } from "./peers.ts";

const connections = 8;
const user = "postgres";

/** It does not run as root: as the user that its package made. */
const as = (command: string, ...args: readonly string[]): readonly [string, readonly string[]] => [
  "setpriv",
  [`--reuid=${user}`, `--regid=${user}`, "--clear-groups", command, ...args],
];
const numberOf = (option: "-u" | "-g"): number => Number(execFileSync("id", [option, user]).toString());

export const postgres: Peer = {
  name: "PostgreSQL",
  open: async (under = mkdtempSync(join(tmpdir(), "semrs-postgres-"))) => {
    // A folder of mkdtemp is its maker's alone, and it has to get through.
    if (dirname(under) !== tmpdir()) chmodSync(dirname(under), 0o711);
    chownSync(under, numberOf("-u"), numberOf("-g"));
    const data = join(under, "data");
    const { PORT = "" } = await ports(["PORT"]);
    execFileSync(...(as("initdb", "-D", data, "-A", "trust") as [string, string[]]), { stdio: "ignore" });
    const at = ["-h", "127.0.0.1", "-p", PORT, "-d", "postgres", "-U", user, "-X", "-q", "-A", "-t"];
    const ask = (sql: string): string => execFileSync("psql", [...at, "-c", sql], { stdio: "pipe" }).toString();
    const acknowledged = new Map<string, string>();
    let server: ChildProcess | undefined;
    const start = async (): Promise<void> => {
      const settings = ["-D", data, "-p", PORT, "-k", "", "-c", "listen_addresses=127.0.0.1"];
      const [command, args] = as("postgres", ...settings);
      server = spawn(command, args, { stdio: "ignore" });
      await until("it answers", () => isUp(ask), 60_000);
    };
    // All its processes at once, as a power cut ends them.
    const kill = async (): Promise<void> => {
      if (!server?.pid || server.exitCode !== null || server.signalCode !== null) return;
      const [ended, { pid }] = [once(server, "exit"), server];
      // Each of its processes is a session of its own.
      const others = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").map(Number);
      for (const each of [pid ?? 0, ...others]) if (each > 0) process.kill(each, "SIGKILL");
      await ended;
    };
    await start();
    ask("CREATE TABLE kept (id text PRIMARY KEY, body text NOT NULL)");
    let number = 0;
    return {
      acknowledged,
      start,
      load: () => {
        let isOver = false;
        const running = Array.from({ length: connections }, async () => {
          const psql = spawn("psql", at, { stdio: ["pipe", "pipe", "ignore"] });
          psql.stdin.on("error", () => undefined);
          const answers = createInterface({ input: psql.stdout })[Symbol.asyncIterator]();
          while (!isOver) {
            number += 1;
            const [id, body] = [`R${number}`, `${number}${"x".repeat(1_000)}`];
            psql.stdin.write(`INSERT INTO kept VALUES ('${id}', '${body}') RETURNING id;\n`);
            const { value, done } = await answers.next();
            if (done) break;
            if (value === id) acknowledged.set(id, createHash("md5").update(body).digest("hex"));
          }
          psql.kill("SIGKILL");
        });
        return async () => {
          isOver = true;
          await Promise.all(running);
        };
      },
      kill,
      held: async () => new Map(ask("SELECT id || ' ' || md5(body) FROM kept").trim().split("\n").map(pair)),
      close: async () => {
        await kill();
        rmSync(data, { recursive: true, force: true });
      },
    };
  },
};

const pair = (line: string): [string, string] => {
  const [id = "", digest = ""] = line.split(" ");
  return [id, digest];
};

function isUp(ask: (sql: string) => string): boolean {
  try {
    return ask("SELECT 1").trim() === "1";
  } catch {
    return false;
  }
}
