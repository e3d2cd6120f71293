/**
 * CDA R2 documents: the hard rules that decide whether one is accepted, and the facts that the index needs. libxml2 reads
 * the octets as they are; nothing is ever written back. Taiwan's EEC package around a document is looked through.
 */
import { Fault } from "../errors.ts";
import { type CdaFacts, factsOf } from "./cda-facts.ts";
import { timeOf } from "./cda-time.ts";
import { type CdaXml, elements, holds, placeIn, placeText, reading, value } from "./cda-xml.ts";

export type { CdaCode, CdaFacts, CdaId } from "./cda-facts.ts";
export { maxCdaBytes } from "./cda-markup.ts";

/** Facts of a document that keeps the hard rules; CDA_INVALID says which it breaks, and where, without quoting it. */
export const readCda = (bytes: Uint8Array): CdaFacts => reading(bytes, acceptedFacts);

/** The same of a document that is parsed already. */
export function acceptedFacts(cda: CdaXml): CdaFacts {
  // All at once: into WebAssembly and back takes longer than a rule. Which one is broken is asked where one is.
  const broken = holds(cda.root, everyRule) ? undefined : hardRules.find(({ test }) => !holds(cda.root, test));
  if (broken) throw refusal(cda, broken.at, broken.message);
  const effectiveTime = timeOf(value(cda.root, "h:effectiveTime/@value") ?? "");
  if (!effectiveTime) throw refusal(cda, "h:effectiveTime", "effectiveTime is missing or no time");
  return factsOf(cda, effectiveTime);
}

/** Always on, whatever a channel says (CDA R2 4.2, 4.3.2; a record is of one patient). `at` is the place that is told. */
const hardRules: readonly { readonly test: string; readonly at: string; readonly message: string }[] = [
  { test: "h:id[@root != '']", at: "h:id", message: "the document has no id with a root" },
  { test: "count(h:id) = 1", at: "h:id[2]", message: "the document has several ids instead of one" },
  { test: "h:recordTarget", at: "h:recordTarget", message: "no recordTarget; a record is of one patient" },
  {
    test: "count(h:recordTarget) = 1",
    at: "h:recordTarget[2]",
    message: "several recordTargets instead of one; a record is of one patient",
  },
  {
    test: "(h:recordTarget/h:patientRole/h:id | h:recordTarget/h:patientRole/h:patient/h:id)[@root != '' or @extension != '']",
    at: "h:recordTarget/h:patientRole",
    message: "recordTarget has no patient id",
  },
  { test: "count(h:code) = 1", at: "h:code[2]", message: "the document has no code, or more than one" },
  { test: "count(h:custodian) = 1", at: "h:custodian[2]", message: "the document has no custodian, or more than one" },
  {
    test: "count(h:effectiveTime) = 1",
    at: "h:effectiveTime[2]",
    message: "effectiveTime is missing or more than one",
  },
];

const everyRule = hardRules.map(({ test }) => `boolean(${test})`).join(" and ");

const refusal = (cda: CdaXml, at: string, message: string): Fault => {
  const [element = cda.root] = elements(cda.root, at, 1);
  return new Fault("CDA_INVALID", message + placeText(placeIn(cda, element)));
};
