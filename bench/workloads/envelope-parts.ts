/** What an envelope costs a house: sealing at ingest, small envelopes one after the other, re-addressing beside cp. */
import { rmSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Done, Side, Workload } from "../harness.ts";
import { run } from "../process.ts";
import { fresh } from "../subjects.ts";

const mebibyte = 1 << 20;
const child = join(import.meta.dirname, "envelope-parts-child.ts");

export const envelopeParts = (): readonly Workload[] => [
  {
    name: "a part sealed at ingest, digests taken in the same pass, per CPU second",
    unit: "MiB/s",
    target: { rate: 700 },
    units: 2048,
    quick: 256,
    ours: alone("part"),
    peers: [],
  },
  {
    name: "a CDA of 30 KB into an envelope (signer P-256, receiver RSA-3072), per CPU second",
    unit: "envelopes/s",
    target: { rate: 1_500 },
    units: 4_000,
    quick: 500,
    ours: alone("small"),
    peers: [],
  },
  {
    name: "a record that rests sealed, re-addressed from file to file for another house (cp: page cache, no fsync, as ours)",
    unit: "MiB/s",
    target: { ratio: 0.5, rssMb: 200 },
    units: 1024,
    quick: 256,
    ours: copying("semrs", (folder) => [process.execPath, [child, "readdress", folder]], "envelope"),
    peers: [copying("cp", (folder) => ["cp", [join(folder, "blob"), join(folder, "copy")]], "copy")],
  },
];

/** A process that tells its own CPU time: start-up and preparation do not count. */
const alone = (verb: string): Side => ({
  name: "semrs",
  start: async () => ({
    stop: async () => undefined,
    run: async (units) => {
      const { stdout, rssMb = 0 } = await run(process.execPath, [child, verb, String(units)], units);
      return { ...(JSON.parse(stdout) as Done), rssMb };
    },
  }),
});

function copying(
  name: string,
  command: (folder: string) => readonly [string, readonly string[]],
  result: string,
): Side {
  return {
    name,
    start: async () => {
      const folder = fresh("readdress");
      let size = 0;
      return {
        stop: async () => rmSync(folder, { recursive: true }),
        run: async (units) => {
          if (size !== units) await run(process.execPath, [child, "prepare", folder, String(units)], units);
          size = units;
          rmSync(join(folder, result), { force: true });
          const done = await run(...command(folder), units);
          if (statSync(join(folder, result)).size < units * mebibyte) throw new Error(`${result} is not whole`);
          // Ours tells the time of the work itself: a house does not start Node for each answer.
          return done.stdout === "" ? done : { ...done, ...(JSON.parse(done.stdout) as Done) };
        },
      };
    },
  };
}
