/** F15 to F17: what can be shown on a reader or a listener alone has tests of its own, which run here with more time. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { root } from "../../commands/cli.ts";
import type { Figures, Trial } from "./trial.ts";

const fuzzSeconds = 30;

type Report = { readonly numTotalTests: number; readonly numPassedTests: number; readonly numPendingTests: number };

/** Runs test files; `named`: only tests of that name. */
function suite(files: readonly string[], named?: string): () => Promise<Figures> {
  return async () => {
    const folder = mkdtempSync(join(tmpdir(), "semrs-suite-"));
    const report = join(folder, "report.json");
    const args = ["run", ...files, "--reporter=json", `--outputFile=${report}`, ...(named ? ["-t", named] : [])];
    const env = { ...process.env, FUZZ_SECONDS: String(fuzzSeconds) };
    spawnSync(join(root, "node_modules", ".bin", "vitest"), args, { cwd: root, env, stdio: "ignore" });
    const { numTotalTests, numPassedTests, numPendingTests } = JSON.parse(readFileSync(report, "utf8")) as Report;
    rmSync(folder, { recursive: true });
    const failed = numTotalTests - numPassedTests - numPendingTests;
    return {
      acknowledged: 0,
      lost: 0,
      corrupt: 0,
      duplicates: 0,
      drainedMs: null,
      notes: [`${numPassedTests} cases held (${files.join(", ")})`],
      failures: failed > 0 || numPassedTests === 0 ? [`${failed} cases do not hold`] : [],
    };
  };
}

export const hostilePdus: Trial = {
  id: "F15",
  fault: "hostile DICOM PDUs: 129 contexts, 1 GiB announced, half an association, noise …",
  criterion: "each association is ended, and C-ECHO works after each",
  run: suite(["test/connectors/dicom-hostile.test.ts"]),
};

export const bombs: Trial = {
  id: "F16",
  fault: "XML and ZIP bombs: entities, depth, attributes, character references",
  criterion: "refused before a parser works on them",
  run: suite(["test/formats/cda.test.ts", "test/formats/zip.test.ts"], "bomb"),
};

export const fuzzers: Trial = {
  id: "F17",
  fault: `broken input from seeds to the readers of MLLP, HL7, CDA, PDUs, DICOM, MIME and CMS, ${fuzzSeconds} s each`,
  criterion: "typed faults only, none takes 5 s",
  run: suite(
    [
      "test/hl7-fuzz.test.ts",
      "test/formats/cda-work.test.ts",
      "test/connectors/dicom-fuzz.test.ts",
      "test/envelope/fuzz.test.ts",
    ],
    "",
  ),
};
