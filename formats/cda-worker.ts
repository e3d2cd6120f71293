/** The worker thread in which documents are examined. */
import { parentPort } from "node:worker_threads";
import { codeOf, reasonOf } from "../errors.ts";
import { giveBack } from "../memory.ts";
import { type CdaChecks, examineFully } from "./cda-examine.ts";
import type { CdaJob } from "./cda-pool.ts";
import type { Reply } from "./worker-pool.ts";

/** What channels ask, as it was told; rules may be read anew while the site runs. */
const read = new Map<string, CdaChecks>();
const maxRead = 64;

parentPort?.on("message", (job: CdaJob) => {
  void replyOf(job).then((reply) => parentPort?.postMessage(reply));
});

async function replyOf({ bytes, checks }: CdaJob): Promise<Reply> {
  try {
    return { value: await examineFully(bytes, checksOf(checks)) };
  } catch (thrown) {
    return { code: codeOf(thrown), message: reasonOf(thrown) };
  } finally {
    giveBack(bytes);
  }
}

function checksOf(text: string): CdaChecks {
  const known = read.get(text);
  if (known) return known;
  if (read.size >= maxRead) read.clear();
  const checks = JSON.parse(text) as CdaChecks;
  read.set(text, checks);
  return checks;
}
