/** Faults of system calls, in processes that run already: strace changes what the kernel answers them. */
import { spawn } from "node:child_process";
import { once } from "node:events";

/** Syncs of this process and its threads answer so, for example `error=EIO`, until the function that comes back is called. */
export async function injectSyncs(pid: number, fault: string): Promise<() => Promise<void>> {
  const calls = "fdatasync,fsync";
  const args = ["-f", "-qq", "-p", String(pid), "-e", `trace=${calls}`, "-e", `inject=${calls}:${fault}`];
  const tracer = spawn("strace", args, { stdio: ["ignore", "ignore", "pipe"] });
  // What it prints comes with the first call that it has changed: it is attached by then.
  await once(tracer.stderr, "data");
  tracer.stderr.resume();
  return async () => {
    if (tracer.exitCode !== null) return;
    const ended = once(tracer, "exit");
    tracer.kill("SIGINT");
    await ended;
  };
}
