/** One parse of a document for everything that is asked of it: hard rules and facts, rules of one's own, the schema. */
import { acceptedFacts, type CdaFacts } from "./cda.ts";
import type { CdaFinding } from "./cda-finding.ts";
import { brokenRules, type CdaRule } from "./cda-rules.ts";
import { schemaErrors } from "./cda-schema.ts";
import { schematronErrors } from "./cda-schematron.ts";
import { reading, readingAsync } from "./cda-xml.ts";
import { openPool } from "./worker-pool.ts";

/** What is checked beyond the hard rules. */
export type CdaChecks = {
  readonly rules?: readonly CdaRule[];
  /** Folder of the XML Schema. */
  readonly schema?: string;
  /** Folder of compiled Schematron; it is run in a worker alone. */
  readonly schematron?: string;
};

export type Examined = { readonly facts: CdaFacts; readonly findings: readonly CdaFinding[] };

/** Examines here and now; for documents that are not large. */
export const examine = (bytes: Uint8Array, checks: CdaChecks): Examined =>
  reading(bytes, (cda) => {
    const facts = acceptedFacts(cda);
    const rules = brokenRules(cda, facts, checks.rules ?? []);
    const schema = checks.schema ? schemaErrors(cda, checks.schema) : [];
    return { facts, findings: [...rules, ...schema] };
  });

/** The same with Schematron: in a worker. */
export async function examineFully(bytes: Uint8Array, { schematron, ...checks }: CdaChecks): Promise<Examined> {
  const { facts, findings } = examine(bytes, checks);
  const more = schematron ? await readingAsync(bytes, (cda) => schematronErrors(cda, schematron)) : [];
  return { facts, findings: [...findings, ...more] };
}

/** A document over this is examined in a worker: 3 MB take 40 ms. */
export const maxBytesHere = 1024 * 1024;
/** A document that takes longer is refused. */
export const maxExamineMs = 30_000;

const pool = openPool<{ readonly bytes: Uint8Array; readonly checks: CdaChecks }, Examined>(
  new URL("./cda-worker.ts", import.meta.url),
  { workers: 2, maxHeapMb: 512, over: "CDA_INVALID", what: "the document" },
);

/** Examines, in a worker if the document is large or Schematron is asked for; CDA_INVALID if it takes longer than `ms`. */
export async function examineDocument(bytes: Uint8Array, checks: CdaChecks, ms = maxExamineMs): Promise<Examined> {
  return bytes.length <= maxBytesHere && !checks.schematron
    ? examine(bytes, checks)
    : await pool.run({ bytes, checks }, ms);
}
