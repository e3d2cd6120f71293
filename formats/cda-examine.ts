/** One parse of a document for everything that is asked of it: hard rules and facts, rules of one's own, the schema. */
import { acceptedFacts, type CdaFacts } from "./cda.ts";
import type { CdaFinding } from "./cda-finding.ts";
import { brokenRules, type CdaRule } from "./cda-rules.ts";
import { schemaErrors } from "./cda-schema.ts";
import { schematronErrors } from "./cda-schematron.ts";
import { reading, readingAsync } from "./cda-xml.ts";

/** What is checked beyond the hard rules. */
export type CdaChecks = {
  readonly rules?: readonly CdaRule[];
  /** Folder of the XML Schema. */
  readonly schema?: string;
  /** Folder of compiled Schematron; it is run in a worker alone. */
  readonly schematron?: string;
};

export type Examined = { readonly facts: CdaFacts; readonly findings: readonly CdaFinding[] };

/** Examines here and now. */
export const examine = (bytes: Uint8Array, checks: CdaChecks): Examined =>
  reading(bytes, (cda) => {
    const facts = acceptedFacts(cda);
    const rules = brokenRules(cda, facts, checks.rules ?? []);
    const schema = checks.schema ? schemaErrors(cda, checks.schema) : [];
    return { facts, findings: [...rules, ...schema] };
  });

/** The same with Schematron. */
export async function examineFully(bytes: Uint8Array, { schematron, ...checks }: CdaChecks): Promise<Examined> {
  const { facts, findings } = examine(bytes, checks);
  const more = schematron ? await readingAsync(bytes, (cda) => schematronErrors(cda, schematron)) : [];
  return { facts, findings: [...findings, ...more] };
}
