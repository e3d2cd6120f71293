/** `npm run faults`: the faults of the matrix, one after the other. `npm run faults -- --help` says the rest. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { loadavg } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { root } from "../../commands/cli.ts";
import { chanceOf } from "../../seeded.ts";
import { envOf } from "../mutants.ts";
import { page, type Row } from "./report.ts";
import { type Figures, isPassed, type Run } from "./trial.ts";
import { trials } from "./trials.ts";

type Asked = {
  readonly only?: readonly string[];
  readonly seed: string;
  readonly mutants: boolean;
  readonly mutant?: readonly string[];
  readonly peers: boolean;
};

const values = new Command("npm run faults --")
  .description(
    "Does each fault to real processes under load, as root, and writes docs/reliability.md from what was lost.",
  )
  .option("--only <fault...>", `these alone: ${trials.map(({ id }) => id).join(", ")}`)
  .option("--seed <n>", "when a fault comes", "1")
  .option("--mutants", "versions that break one promise each, which have to be found", false)
  .option("--mutant <name...>", "these mutants alone")
  .option("--peers", "Orthanc and PostgreSQL in place of semrs", false)
  .parse()
  .opts<Asked>();
const seed = Number(values.seed);
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
