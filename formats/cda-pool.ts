/**
 * Where documents are examined: in worker threads, so that what is taken in meanwhile does not wait for them (decision 33). Small
 * documents have workers of their own, that no large one holds up.
 */
import { availableParallelism } from "node:os";
import type { CdaChecks, Examined } from "./cda-examine.ts";
import { openPool } from "./worker-pool.ts";

/** `checks` as JSON: the same text is read once in each worker. */
export type CdaJob = { readonly bytes: Uint8Array; readonly checks: string };

/** A document over this is large: 3 MB take 40 ms. */
export const maxSmallBytes = 1024 * 1024;
/** A document that takes longer is refused. */
export const maxExamineMs = 30_000;

const url = new URL("./cda-worker.ts", import.meta.url);
const common = { name: "documents", maxHeapMb: 512, over: "CDA_INVALID", what: "the document" } as const;
const maxWorkers = 4;
/** Half of the processors: one examines as fast as the loop takes in. */
const small = openPool<CdaJob, Examined>(url, {
  ...common,
  workers: Math.min(maxWorkers, Math.max(1, availableParallelism() >> 1)),
});
const large = openPool<CdaJob, Examined>(url, { ...common, workers: 2 });

const texts = new WeakMap<CdaChecks, string>();
const textOf = (checks: CdaChecks): string => {
  const known = texts.get(checks);
  if (known !== undefined) return known;
  const made = JSON.stringify(checks);
  texts.set(checks, made);
  return made;
};

/** Examines a document by everything that is asked of it at once; CDA_INVALID if it takes longer than `ms`. */
export async function examineDocument(bytes: Uint8Array, checks: CdaChecks = {}, ms = maxExamineMs): Promise<Examined> {
  const pool = bytes.length > maxSmallBytes || checks.schematron ? large : small;
  // A copy that is handed over: what a document was cut from would be copied whole.
  const own = new Uint8Array(bytes);
  return await pool.run({ bytes: own, checks: textOf(checks) }, ms, [own.buffer]);
}
