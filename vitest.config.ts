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

// Threads of a house are programs of their own, which Node would strip of types and compile at each start. Coverage counts what is compiled.
if (!process.argv.includes("--coverage"))
  process.env.NODE_COMPILE_CACHE ??= join(import.meta.dirname, "node_modules", ".cache", "tests");

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

// Whole sites are started by some tests, which wait a third of their time: three workers fit the two cores CI has.
export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    maxWorkers: 3,
    sequence: { sequencer: SlowestFirst },
    // Only with --coverage: `npm run coverage`.
    coverage: { include: ["envelope/**/*.ts"], reporter: ["json"], reportsDirectory: "node_modules/.coverage" },
  },
});
