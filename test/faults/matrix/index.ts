/** `npm run faults`: the faults of the matrix, one after the other. --only F2, --seed N, --mutants, --mutant NAME, --peers. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { loadavg } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { root } from "../../commands/cli.ts";
import { chanceOf } from "../../seeded.ts";
import { envOf } from "../mutants.ts";
import { page, type Row } from "./report.ts";
import { type Figures, isPassed, type Run } from "./trial.ts";
import { trials } from "./trials.ts";

const { values } = parseArgs({
  options: {
    only: { type: "string", multiple: true },
    seed: { type: "string" },
    mutants: { type: "boolean", default: false },
    mutant: { type: "string", multiple: true },
    peers: { type: "boolean", default: false },
  },
});
const seed = Number(values.seed ?? 1);
const wanted = trials.filter(({ id }) => values.only?.includes(id) ?? true);
if (wanted.length === 0) {
  process.stderr.write(`there is ${trials.map(({ id }) => id).join(", ")}\n`);
  process.exit(64);
}
/** The figures as they were measured; the page is made of them. */
const figuresFile = join(root, "docs", "reliability.json");
const pageFile = join(root, "docs", "reliability.md");
const say = (text: string): void => void process.stdout.write(`${text}\n`);
const nothing = { acknowledged: 0, lost: 0, corrupt: 0, duplicates: 0, drainedMs: null, notes: [] } as const;

async function attempt(run: Run, what: Pick<Row, "trial" | "mutant" | "peer">): Promise<Row> {
  const { trial, mutant, peer } = what;
  const started = performance.now();
  say(`${trial.id} ${peer ?? trial.fault}${mutant ? `, mutant ${mutant}` : ""} …`);
  const context = {
    random: chanceOf(seed),
    env: mutant ? envOf(mutant) : {},
    isMutant: mutant !== undefined,
    told: (text: string) => say(`  ${text}`),
  };
  const figures = await run(context).catch((thrown: Error): Figures => {
    return { ...nothing, failures: [thrown.message.split("\n")[0] ?? "failed"] };
  });
  const { acknowledged, lost, corrupt, duplicates, drainedMs, notes, failures } = figures;
  const drained = drainedMs === null ? "" : `, drained in ${(drainedMs / 1000).toFixed(1)} s`;
  say(`  ${acknowledged} acknowledged, ${lost} lost, ${corrupt} corrupt, ${duplicates} duplicates${drained}`);
  for (const note of notes) say(`  ${note}`);
  for (const failure of failures) say(`  missed: ${failure}`);
  const [ok, not] = mutant ? ["NOT FOUND", "found"] : ["passed", "MISSED"];
  const tookSeconds = ((performance.now() - started) / 1000).toFixed(0);
  say(`  ${isPassed(figures) ? ok : not} after ${tookSeconds} s`);
  const { id, fault, criterion } = trial;
  const load = loadavg()
    .map((each) => each.toFixed(1))
    .join(" ");
  const at = new Date().toISOString();
  return { ...what, trial: { id, fault, criterion }, seed, at, load, figures };
}

/** Puts a row in the place of the one it repeats. */
function keep(row: Row): void {
  const before = existsSync(figuresFile) ? (JSON.parse(readFileSync(figuresFile, "utf8")) as Row[]) : [];
  const keyOf = ({ trial: { id }, mutant, peer }: Row): string => `${id} ${mutant ?? ""} ${peer ?? ""}`;
  const rows = [...before.filter((each) => keyOf(each) !== keyOf(row)), row];
  const number = ({ trial: { id } }: Row): number => Number(id.slice(1));
  rows.sort((a, b) => number(a) - number(b) || keyOf(a).localeCompare(keyOf(b)));
  writeFileSync(figuresFile, `${JSON.stringify(rows, null, 2)}\n`);
  writeFileSync(pageFile, page(rows));
}

let isRight = true;
for (const trial of wanted) {
  const mutants = (trial.finds ?? []).filter((name) => values.mutant?.includes(name) ?? true);
  const runs: (readonly [Run, Pick<Row, "trial" | "mutant" | "peer">])[] =
    values.mutants || values.mutant
      ? mutants.map((mutant) => [trial.run, { trial, mutant }])
      : values.peers
        ? Object.entries(trial.peers ?? {}).map(([peer, run]) => [run, { trial, peer }])
        : [[trial.run, { trial }]];
  for (const [run, what] of runs) {
    const row = await attempt(run, what);
    keep(row);
    // What becomes of another program is its figure, not our failure.
    if (!what.peer) isRight &&= isPassed(row.figures) !== (what.mutant !== undefined);
  }
}
process.exit(isRight ? 0 : 1);
