/** PostgreSQL of Debian beside the store: rows of so many octets, each durable before it is told, by as many callers. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chownSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { ports } from "../commands/demo/ports.ts";
import { cpuOf, type Side, type Subject } from "./harness.ts";
import { fresh, missing } from "./subjects.ts";

const folders = "/usr/lib/postgresql";
const user = "postgres";
const upMs = 30_000;
/** Of the table, before the first run. */
const distinct = 64;

/** `callers` that each insert one row of `size` octets after the other: `synchronous_commit` and `fsync` as they are shipped, on. */
export const postgres = (size: number, callers: number): Side => ({
  name: "PostgreSQL",
  remark: "in clear, without a hash chain; the octets are the server's own",
  start: async () => {
    const version = existsSync(folders) ? readdirSync(folders).sort().at(-1) : undefined;
    const absent = version === undefined ? "PostgreSQL is not installed" : missing("setpriv");
    if (absent !== undefined) return { missing: absent };
    const bin = join(folders, version ?? "", "bin");
    return await running(bin, size, callers);
  },
});

async function running(bin: string, size: number, callers: number): Promise<Subject> {
  const folder = fresh("postgres");
  const [data, script] = [join(folder, "data"), join(folder, "insert.sql")];
  mkdirSync(data);
  for (const each of [folder, data]) chownSync(each, numberOf("-u"), numberOf("-g"));
  const { PORT = "" } = await ports(["PORT"]);
  run(bin, "initdb", "-D", data, "-A", "trust");
  const settings = ["-D", data, "-p", PORT, "-k", "", "-c", "listen_addresses=127.0.0.1", "-c", "max_connections=100"];
  const server = spawn(...asUser(join(bin, "postgres"), ...settings), { stdio: "ignore" });
  const at = ["-h", "127.0.0.1", "-p", PORT, "-U", user];
  const ask = (sql: string): string => run(bin, "psql", ...at, "-d", "postgres", "-X", "-q", "-A", "-t", "-c", sql);
  await up(() => ask("SELECT 1"));
  const octets = `SELECT string_agg(decode(md5(n || ':' || k), 'hex'), '') FROM generate_series(1, ${size / 16}) AS k`;
  // Octets that do not compress, of one of several rows: to make them anew would cost more than the insert.
  for (const sql of [
    "CREATE TABLE kept (id uuid PRIMARY KEY, at timestamptz NOT NULL, body bytea NOT NULL)",
    "CREATE TABLE made (n int PRIMARY KEY, body bytea NOT NULL)",
    "ALTER TABLE kept ALTER body SET STORAGE EXTERNAL",
    "ALTER TABLE made ALTER body SET STORAGE EXTERNAL",
    `INSERT INTO made SELECT n, (${octets}) FROM generate_series(1, ${distinct}) AS n`,
  ])
    ask(sql);
  const insert = "INSERT INTO kept SELECT gen_random_uuid(), now(), body FROM made WHERE n = :n;";
  writeFileSync(script, `\\set n random(1, ${distinct})\n${insert}\n`);
  const count = (): number => Number(ask(`SELECT count(*) FROM kept WHERE length(body) = ${size}`));
  return {
    stop: () => stopped(server),
    run: async (units) => {
      const [each, before] = [Math.max(1, Math.floor(units / callers)), count()];
      const load = ["-n", "-M", "prepared", "-f", script, "-c", String(callers), "-j", "2", "-t", String(each)];
      const [cpu, started] = [cpuOfAll(server.pid ?? 0), performance.now()];
      run(bin, "pgbench", ...at, ...load, "postgres");
      const seconds = (performance.now() - started) / 1000;
      const cpuMs = cpuOfAll(server.pid ?? 0) - cpu;
      const added = count() - before;
      if (added !== each * callers) throw new Error(`${added} of ${each * callers} rows are in the table`);
      return { units: added, seconds, cpuMs };
    },
  };
}

/** It does not run as root: as the user that its package made. */
const asUser = (command: string, ...args: readonly string[]): [string, string[]] => [
  "setpriv",
  [`--reuid=${user}`, `--regid=${user}`, "--clear-groups", command, ...args],
];
const numberOf = (option: "-u" | "-g"): number => Number(execFileSync("id", [option, user]).toString());

function run(bin: string, program: string, ...args: readonly string[]): string {
  const [command, all] = asUser(join(bin, program), ...args);
  return execFileSync(command, all, { stdio: ["ignore", "pipe", "pipe"] }).toString();
}

async function up(ask: () => unknown): Promise<void> {
  for (const end = Date.now() + upMs; ; ) {
    try {
      ask();
      return;
    } catch (thrown) {
      if (Date.now() > end) throw thrown;
      await wait(100);
    }
  }
}

const msPerTick = 10;
/** Of the server, of its processes that have ended (proc(5): cutime, cstime), and of those that live. */
function cpuOfAll(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const ended = (Number(fields[13]) + Number(fields[14])) * msPerTick;
  const living = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ");
  return living.reduce((sum, each) => sum + (each === "" ? 0 : cpuIfAlive(Number(each))), cpuOf(pid) + ended);
}

/** One that has just ended is counted with its server's. */
function cpuIfAlive(pid: number): number {
  try {
    return cpuOf(pid);
  } catch {
    return 0;
  }
}

async function stopped(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return;
  const ended = once(server, "exit");
  // A fast stop: who is connected is cut.
  server.kill("SIGINT");
  await ended;
}
