/** A record of a gibibyte fetched from another house, sealed, verified and kept, beside a file over HTTPS from the same Node. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { initPki } from "../../commands/pki/index.ts";
import { cpuOf, type Done, rssOf, type Side, type Workload } from "../harness.ts";
import { run } from "../process.ts";
import { fresh } from "../subjects.ts";

const root = join(import.meta.dirname, "../..");
/** As `semrs.js` starts a house. */
const child = ["--import", join(root, "lean.js"), join(import.meta.dirname, "retrieve-child.ts")];
const env = { ...process.env, NODE_COMPILE_CACHE: join(root, "node_modules", ".cache", "semrs") };

export const retrieval = (): readonly Workload[] => [
  {
    name: "a record of 1 GiB over REST, re-addressed by house A, verified and kept by house B (memory of the larger, CPU of both)",
    unit: "MiB/s",
    target: { ratio: 0.7, rssMb: 250 },
    units: 1024,
    quick: 128,
    ours: between("semrs", "house", ["fetch"]),
    peers: [
      between("HTTPS to a file", "plain", ["download"], "not sealed, not verified, not on the disk when it ends"),
      between("HTTPS to a file, synced", "plain", ["download", "sync"], "not sealed, not verified"),
    ],
  },
];

/** One process hands out, another one for each run takes in; both count. */
function between(name: string, server: string, [verb = "", ...more]: readonly string[], remark?: string): Side {
  return {
    name,
    ...(remark ? { remark } : {}),
    start: async () => {
      const folder = fresh("retrieve");
      await initPki(join(folder, "pki"), ["registry", "hospital-a", "hospital-b"], { now: new Date() });
      let serving: Awaited<ReturnType<typeof started>> | undefined;
      return {
        stop: async () => {
          await serving?.stop();
          rmSync(folder, { recursive: true });
        },
        run: async (units) => {
          if (serving?.units !== units) {
            await serving?.stop();
            serving = await started(server, folder, units);
          }
          const { pid, port } = serving;
          const before = cpuOf(pid);
          const { stdout, rssMb = 0 } = await run(
            process.execPath,
            [...child, verb, folder, port, ...more],
            units,
            env,
          );
          const done = JSON.parse(stdout) as Done & { readonly cpuMs: number };
          if (done.units !== units) throw new Error(`${done.units} of ${units} MiB are there`);
          return { ...done, cpuMs: done.cpuMs + cpuOf(pid) - before, rssMb: Math.max(rssMb, rssOf(pid)) };
        },
      };
    },
  };
}

async function started(verb: string, folder: string, units: number) {
  await run(process.execPath, [...child, `prepare-${verb}`, folder, String(units)], units, env);
  const server = spawn(process.execPath, [...child, verb, folder], {
    stdio: ["ignore", "pipe", "inherit"],
    env,
  });
  const ended = once(server, "exit");
  const stop = async (): Promise<void> => {
    server.kill("SIGTERM");
    await ended;
  };
  for await (const line of createInterface({ input: server.stdout }))
    return { pid: server.pid ?? 0, port: String((JSON.parse(line) as { port: number }).port), units, stop };
  throw new Error(`${verb} did not start`);
}
