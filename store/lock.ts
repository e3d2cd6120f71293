/**
 * One process a data folder. What keeps others out is a lock of the kernel, which ends with its process however that ends, and holds
 * between containers, whose process numbers say nothing to each other. A lock file beside it names the owner, with its process number
 * and start time; of a version before this it is the lock.
 */
import { closeSync, existsSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Fault } from "../errors.ts";

/** Takes the lock; ALREADY_RUNNING names the process that has it. Returns what releases it. */
export function lockFolder(folder: string): () => void {
  const file = join(folder, "semrs.lock");
  const release = takeKernelLock(folder, file);
  try {
    const unlock = takeFile(folder, file);
    return () => {
      try {
        unlock();
      } finally {
        release();
      }
    };
  } catch (thrown) {
    release();
    throw thrown;
  }
}

const [busy, readOnly] = [5, 8];

/** Node has no such lock of its own: that of an empty database is held. */
function takeKernelLock(folder: string, file: string): () => void {
  const path = join(folder, "semrs.owner");
  // Only where it is not there: to close a file gives up what this process holds of it.
  if (!existsSync(path)) closeSync(openSync(path, "a", 0o600));
  const lock = new DatabaseSync(path);
  try {
    lock.exec("BEGIN EXCLUSIVE");
  } catch (cause) {
    lock.close();
    const code = ((cause as { errcode?: number }).errcode ?? 0) & 0xff;
    // The lock file meets the same disk, and says so.
    if (code === readOnly) return () => undefined;
    if (code !== busy) throw cause;
    const [pid = ""] = existsSync(file) ? readFileSync(file, "utf8").split(" ") : [];
    throw inUse(pid, folder, cause);
  }
  return () => lock.close();
}

function takeFile(folder: string, file: string): () => void {
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
      if (isAlive) throw inUse(pid, folder, cause);
      rmSync(file, { force: true });
    }
  }
  throw new Fault("ALREADY_RUNNING", `another process took ${folder} at the same moment; stop one of them`);
}

const inUse = (pid: string, folder: string, cause: unknown): Fault =>
  new Fault("ALREADY_RUNNING", `process ${pid} uses ${folder}; stop it, or give this site another data folder`, {
    cause,
  });

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
