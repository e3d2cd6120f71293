/** Examining documents: facts and hard rules of one of 45 KB, with the XML Schema, and what memory 10,000 of them leave behind. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { type CdaChecks, examine } from "../../formats/cda-examine.ts";
import type { Side, Workload } from "../harness.ts";

const fixtures = join(import.meta.dirname, "..", "..", "..", "shared", "fixtures");
const schema = join(fixtures, "cda-schema");

export const cda = (): readonly Workload[] => [
  {
    name: "facts and hard rules of a CDA of 45 KB, 10,000 of them (memory: what they add)",
    unit: "documents/s",
    target: { cpuMs: 1.5, rssMb: 32 },
    units: 10_000,
    quick: 1_000,
    ours: ours({}),
    peers: [],
  },
  {
    name: "the same with the XML Schema",
    unit: "documents/s",
    target: { cpuMs: 3, rssMb: 32 },
    units: 10_000,
    quick: 1_000,
    ours: ours({ schema }),
    peers: [],
  },
];

function ours(checks: CdaChecks): Side {
  return {
    name: "semrs",
    start: async () => {
      const file = join(fixtures, "cda", "hl7-normative-SampleCDADocument.xml");
      if (!existsSync(file) || !existsSync(schema))
        return { missing: "no third-party test data in cda and cda-schema" };
      const bytes = readFileSync(file);
      // As a site is started (decision 0011): else the growth of the young generation is taken for what documents leave behind.
      setFlagsFromString("--semi-space-growth-factor=1");
      return {
        stop: async () => setFlagsFromString("--semi-space-growth-factor=2"),
        run: async (units) => {
          const [before, memory, started] = [process.cpuUsage(), process.memoryUsage.rss(), performance.now()];
          for (let n = 0; n < units; n += 1) {
            const { facts, findings } = examine(bytes, checks);
            if (facts.uniqueId !== "2.16.840.1.113883.19.4^c266" || findings.length > 0)
              throw new Error("the document was not examined as it should be");
          }
          const { user, system } = process.cpuUsage(before);
          return {
            units,
            seconds: (performance.now() - started) / 1000,
            cpuMs: (user + system) / 1000,
            rssMb: Math.max(0, process.memoryUsage.rss() - memory) / 1024 / 1024,
          };
        },
      };
    },
  };
}
