/** A child process from start to end: wall time, CPU of it and its children, the largest memory of any of them. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { Done } from "./harness.ts";

const pollMs = 10;
const msPerTick = 10;

/** Runs it; fails with what it said when it does not end well. `stdout` is given back. */
export async function run(
  command: string,
  args: readonly string[],
  units: number,
  env: NodeJS.ProcessEnv = process.env,
): Promise<Done & { readonly stdout: string }> {
  const started = performance.now();
  const before = childrenCpu();
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], env });
  const [out, said]: [Buffer[], Buffer[]] = [[], []];
  child.stdout.on("data", (chunk: Buffer) => out.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => said.push(chunk));
  let rssMb = 0;
  const poll = setInterval(() => {
    for (const pid of family(child.pid ?? 0)) rssMb = Math.max(rssMb, peak(pid));
  }, pollMs);
  await once(child, "close");
  clearInterval(poll);
  if (child.exitCode !== 0) throw new Error(`${command} ended with ${child.exitCode}: ${Buffer.concat(said)}`);
  const stdout = Buffer.concat(out).toString();
  return { units, seconds: (performance.now() - started) / 1000, cpuMs: childrenCpu() - before, rssMb, stdout };
}

/** CPU time of children that have ended, milliseconds (proc(5): cutime and cstime). */
function childrenCpu(): number {
  const stat = readFileSync("/proc/self/stat", "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[13]) + Number(fields[14])) * msPerTick;
}

function family(pid: number): readonly number[] {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ");
    return [pid, ...children.filter((each) => each !== "").flatMap((each) => family(Number(each)))];
  } catch {
    return [];
  }
}

function peak(pid: number): number {
  try {
    return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) / 1024;
  } catch {
    return 0;
  }
}
