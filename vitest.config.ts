import { globSync } from "node:fs";
import { join, relative } from "node:path";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** They take a quarter of a minute and more. Vitest begins with the largest files, and these would be waited for at the end by one worker. */
const slow = [
  "corridor-fixtures",
  "commands/test",
  "faults/disk",
  "faults/memory",
  "hl7-fuzz",
  "docs",
  "formats/cda-work",
  "commands/check",
  "faults/damage",
  "bench",
  "simulation/simulation",
  "demo",
  "envelope/fuzz",
  "connectors/dicom-fuzz",
  "faults/backup",
  "faults/kill",
  "envelope/smime4-memory",
].map((name) => `test/${name}.test.ts`);

const isCoverage = process.argv.includes("--coverage");
/** What runs every statement of envelope/; but not what covers by chance, or measures another process. */
const covering = [
  "envelope/**",
  "conformance/**",
  "exchange/smime4-houses",
  "exchange/limits*",
  "exchange/proofs*",
].map((name) => `test/${name}.test.ts`);
const uncounted = ["**/fuzz.test.ts", "**/*memory.test.ts"];
/** Who runs `npm run coverage` next says so: these are run there. */
const later = process.env.COVERAGE_FOLLOWS ? globSync(covering, { cwd: import.meta.dirname, exclude: uncounted }) : [];
// Each file and each thread of a house is a program of its own, which Node would strip of types and compile at each start. Coverage counts what is compiled.
if (!isCoverage) process.env.NODE_COMPILE_CACHE ??= join(import.meta.dirname, "node_modules", ".cache", "tests");

class SlowestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const rank = ({ moduleId }: TestSpecification): number => {
      const at = slow.indexOf(relative(import.meta.dirname, moduleId));
      return at < 0 ? slow.length : at;
    };
    return sorted.toSorted((one, other) => rank(one) - rank(other));
  }
}

/** In the folders of those that stand apart, these start nothing. */
const within = [
  ...["check-authority", "check-callers", "check-named", "check-registry", "config-file", "test-fields"].map(
    (name) => `commands/${name}`,
  ),
  ...["down", "mutants", "pacs*"].map((name) => `faults/${name}`),
  ...["dcmjs-dimse-client", "node-hl7", "pkijs", "study-pull"].map((name) => `peers/${name}`),
].map((name) => `test/${name}.test.ts`);
/** They start other programs, which from a process that has grown costs a copy of all its page tables, or leave much memory behind. */
const apart = globSync(
  [
    ...["commands", "faults", "peers", "simulation"].map((folder) => `test/${folder}/**/*.test.ts`),
    ...["bench", "corridor-fixtures", "demo", "docs", "envelope/smime4-memory", "reload"].map(
      (name) => `test/${name}.test.ts`,
    ),
  ],
  { cwd: import.meta.dirname, exclude: within },
);
const all = ["test/**/*.test.ts"];

// Whole sites are started by some tests, which wait a third of their time: three workers fit the two cores CI has.
export default defineConfig({
  test: {
    testTimeout: 60_000,
    hookTimeout: 60_000,
    maxWorkers: 3,
    // Node imports the modules itself, as it does in a house: nothing is transformed, and its compile cache serves tests too.
    experimental: { viteModuleRunner: false, nodeLoader: false },
    sequence: { sequencer: SlowestFirst },
    // Only with --coverage: `npm run coverage`.
    coverage: { include: ["envelope/**/*.ts"], reporter: ["json"], reportsDirectory: "node_modules/.coverage" },
    projects: isCoverage
      ? [{ extends: true, test: { name: "covering", include: covering, exclude: uncounted, isolate: false } }]
      : [
          { extends: true, test: { name: "apart", include: apart, exclude: later } },
          // Imported and compiled anew for each file, modules take two fifths of all: a worker keeps them. Helpers hook nothing when they are imported.
          { extends: true, test: { name: "together", include: all, exclude: [...apart, ...later], isolate: false } },
        ],
  },
});
