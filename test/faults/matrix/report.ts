/** docs/reliability.md, from the figures of a run. */
import { cpus, totalmem } from "node:os";
import type { Mutant } from "../mutants.ts";
import type { Figures, Trial } from "./trial.ts";
import { isPassed } from "./trial.ts";

export type Row = {
  readonly trial: Pick<Trial, "id" | "fault" | "criterion">;
  /** Undefined: ours. */
  readonly peer?: string;
  readonly mutant?: Mutant;
  readonly seed: number;
  readonly at: string;
  /** One, five and fifteen minutes' load of the machine when it ended. */
  readonly load: string;
  readonly figures: Figures;
};

const head = `# What was done to it, and what was lost

Made by \`npm run faults\`: nothing here is written by hand. What a house promises: nothing positive is
answered before it is on stable storage, and what was answered so reaches whoever its channel names, at least once.

Each fault is done to real processes on this machine: registry, hospital A and hospital B, a HIS A and a PACS A that send, a HIS B and a
PACS B that receive. Both ends keep a ledger with digests. **Acknowledged** is what hospital A answered AA or Success for, **lost** what
of that never arrived, **corrupt** what arrived and was never sent so, **duplicates** what arrived once more, **drained in** the time
from the end of the fault (and of the load) until everything had arrived and no queue had anything left. A peer's row counts what it said
was stored against what it has afterwards.
`;

const repeat = `## To repeat it

\`\`\`
npm ci
sudo npm run faults                       # all of them, about half an hour
sudo npm run faults -- --only F2          # one
sudo npm run faults -- --only F2 --seed 7 # other moments: the seed decides when a fault comes
sudo npm run faults -- --mutants          # broken versions, which have to be found
sudo npm run faults -- --peers            # Orthanc and PostgreSQL in our place
\`\`\`

Each run puts its figures in the place of the ones it repeats, here and in \`reliability.json\`. Root is needed for loop-mounted ext4 (power cuts, full disks), network namespaces and control groups. The faults of the list that belong to every change run with \`npm test\`, smaller.
`;

const machine = (): string =>
  `${cpus().length} × ${cpus()[0]?.model ?? "?"}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.versions.node}`;

const seconds = (ms: number | null): string => (ms === null ? "–" : `${(ms / 1000).toFixed(1)} s`);

function line({ trial: { id, fault }, peer, figures, at, seed, load }: Row): string {
  const { acknowledged, lost, corrupt, duplicates, drainedMs } = figures;
  const verdict = isPassed(figures) ? "passed" : "**missed**";
  // What is shown on a reader or a listener alone has no ledger.
  const isCounted = acknowledged > 0 || lost > 0;
  const counts = isCounted ? [acknowledged, lost, corrupt, duplicates] : ["–", "–", "–", "–"];
  const cells = [id, peer ?? fault, ...counts, seconds(drainedMs)];
  return `| ${[...cells, peer ? "" : verdict, `${at.slice(0, 10)}, seed ${seed}, load ${load}`].join(" | ")} |`;
}

function details({ trial: { id, criterion }, figures: { notes, failures } }: Row): readonly string[] {
  return [
    `* **${id}** (${criterion})${notes.length > 0 ? `: ${notes.join("; ")}` : ""}`,
    ...failures.map((failure) => `  * missed: ${failure}`),
  ];
}

/** The page; rows in the order they were made. */
export function page(rows: readonly Row[]): string {
  const ours = rows.filter(({ mutant, peer }) => !mutant && !peer);
  const broken = rows.filter(({ mutant }) => mutant);
  const peers = rows.filter(({ peer }) => peer);
  const table = [
    "| | fault | acknowledged | lost | corrupt | duplicates | drained in | | when |",
    "|---|---|---|---|---|---|---|---|---|",
  ];
  return [
    head,
    `Machine: ${machine()}, ext4. The load is the machine's (1, 5, 15 minutes): what other work ran beside; times are of a machine that busy.
F14 of the matrix is of a store that this program does not have; F21 is a simulation with tests of its own.\n`,
    [...table, ...ours.map(line)].join("\n"),
    "\n## What else was asked, and what was measured\n",
    ours.flatMap(details).join("\n"),
    "\n## Other programs under the same fault\n",
    "Their own settings where a person would leave them so; what was acknowledged and is not there afterwards is lost.\n",
    [...table, ...peers.map(line)].join("\n"),
    peers.flatMap(({ peer, figures: { notes } }) => notes.map((note) => `\n* ${peer}: ${note}`)).join(""),
    "\n## Versions that are broken on purpose\n",
    "A fault that finds nothing proves nothing. Each of these breaks one promise in memory (`test/faults/mutants.ts`), and has to be found.\n",
    "| mutant | fault | acknowledged | lost | found by |\n|---|---|---|---|---|",
    broken
      .map(({ mutant, trial: { id }, figures: { acknowledged, lost, corrupt, failures } }) => {
        const by = [...(lost > 0 ? [`${lost} lost`] : []), ...(corrupt > 0 ? [`${corrupt} corrupt`] : []), ...failures];
        return `| ${mutant} | ${id} | ${acknowledged} | ${lost} | ${by.slice(0, 2).join("; ") || "**not found**"} |`;
      })
      .join("\n"),
    `\n${repeat}`,
  ].join("\n");
}
