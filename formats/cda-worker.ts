/** The worker thread in which large documents are examined, and all with Schematron. */
import { parentPort } from "node:worker_threads";
import { codeOf, reasonOf } from "../errors.ts";
import { type CdaChecks, examineFully } from "./cda-examine.ts";
import type { Reply } from "./worker-pool.ts";

parentPort?.on("message", ({ bytes, checks }: { readonly bytes: Uint8Array; readonly checks: CdaChecks }) => {
  void replyOf(bytes, checks).then((reply) => parentPort?.postMessage(reply));
});

async function replyOf(bytes: Uint8Array, checks: CdaChecks): Promise<Reply> {
  try {
    return { value: await examineFully(bytes, checks) };
  } catch (thrown) {
    return { code: codeOf(thrown), message: reasonOf(thrown) };
  }
}
