/** One process a data folder: a lock file with the owner's process number and start time, so that a dead owner locks nobody out. */
import { closeSync, existsSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { Fault } from "../errors.ts";

/** Takes the lock; ALREADY_RUNNING names the process that has it. Returns what releases it. */
export function lockFolder(folder: string): () => void {
  const file = join(folder, "semrs.lock");
  const mine = `${process.pid} ${startOf(process.pid)} ${Math.random()}`;
  for (let attempt = 0; attempt < 2; attempt += 1) {
    try {
      const handle = openSync(file, "wx", 0o600);
      writeSync(handle, mine);
      closeSync(handle);
      held.add(file);
      return () => {
        held.delete(file);
        rmSync(file, { force: true });
      };
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== "EEXIST") throw cause;
      const [pid = "", start = ""] = existsSync(file) ? readFileSync(file, "utf8").split(" ") : [];
      const isAlive = Number(pid) === process.pid ? held.has(file) : pid !== "" && startOf(Number(pid)) === start;
      if (isAlive)
        throw new Fault(
          "ALREADY_RUNNING",
          `process ${pid} uses ${folder}; stop it, or give this site another data folder`,
          { cause },
        );
      rmSync(file, { force: true });
    }
  }
  throw new Fault("ALREADY_RUNNING", `another process took ${folder} at the same moment; stop one of them`);
}

/** Locks of this very process: several sites may run in one. */
const held = new Set<string>();

/** When a process started, in clock ticks since boot (proc(5), stat field 22); empty when there is no such process. */
function startOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "";
  } catch {
    return existsSync("/proc/self") ? "" : aliveElsewhere(pid);
  }
}

/** Where there is no /proc, a process that answers signal 0 counts as the owner. */
function aliveElsewhere(pid: number): string {
  try {
    process.kill(pid, 0);
    return "alive";
  } catch {
    return "";
  }
}
