/** The worker thread in which large documents are examined. */
import { parentPort } from "node:worker_threads";
import { codeOf, reasonOf } from "../errors.ts";
import { type CdaChecks, examine } from "./cda-examine.ts";
import type { Reply } from "./worker-pool.ts";

parentPort?.on("message", ({ bytes, checks }: { readonly bytes: Uint8Array; readonly checks: CdaChecks }) => {
  parentPort?.postMessage(replyOf(bytes, checks));
});

function replyOf(bytes: Uint8Array, checks: CdaChecks): Reply {
  try {
    return { value: examine(bytes, checks) };
  } catch (thrown) {
    return { code: codeOf(thrown), message: reasonOf(thrown) };
  }
}
