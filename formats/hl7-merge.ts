/** Which patients a message says are one, or two (ADT^A40 and its kind, A37): the one of PID goes on, that of MRG does not (HL7 v2.5.1 3.3.40). */
import { Fault } from "../errors.ts";
import { fieldsOf, identifiersIn, type MessageFacts, type PatientIdentifier, segments } from "./hl7.ts";

/** PID-3 and MRG-1 of one group. */
export type WrittenMerge = {
  readonly surviving: readonly PatientIdentifier[];
  readonly prior: readonly PatientIdentifier[];
};

/** Merges (HL7 v2.5.1 3.3.18, 3.3.34, 3.3.36, 3.3.39, 3.3.40), and changes of a patient's id (3.3.46, 3.3.47), which say the same of two ids. */
const mergeTypes: ReadonlySet<string> = new Set(
  ["A18", "A34", "A36", "A39", "A40", "A46", "A47"].map((event) => `ADT^${event}`),
);
const maxMerges = 100;

export const isMerge = ({ messageType }: MessageFacts): boolean => mergeTypes.has(messageType);
/** Two patients, who were taken for one (HL7 v2.5.1 3.3.37). */
export const isUnlink = ({ messageType }: MessageFacts): boolean => messageType === "ADT^A37";

/** The merges of a message, one for each MRG; HL7_MALFORMED without one, or where one has no PID before it. */
export function mergesIn(message: Uint8Array, facts: MessageFacts): readonly WrittenMerge[] {
  const merges: WrittenMerge[] = [];
  let surviving: readonly PatientIdentifier[] = [];
  for (const segment of segments(message)) {
    if (segment.name === "PID") surviving = identifiersIn(fieldsOf(segment, facts)[3] ?? "", facts);
    if (segment.name !== "MRG") continue;
    const prior = identifiersIn(fieldsOf(segment, facts)[1] ?? "", facts);
    if (surviving.length === 0 || prior.length === 0)
      throw new Fault("HL7_MALFORMED", "a merge needs the patient who stays in PID-3 and the one who goes in MRG-1");
    if (merges.length >= maxMerges) throw new Fault("TOO_LARGE", `over ${maxMerges} merges in one message`);
    merges.push({ surviving, prior });
  }
  if (merges.length === 0) throw new Fault("HL7_MALFORMED", "a merge without MRG; send the patient who goes in MRG-1");
  return merges;
}

/** PID-3 of both patients who are not one; HL7_MALFORMED unless there are two. */
export function unlinkedIn(message: Uint8Array, facts: MessageFacts): readonly (readonly PatientIdentifier[])[] {
  const patients = [...segments(message)]
    .filter(({ name }) => name === "PID")
    .map((segment) => identifiersIn(fieldsOf(segment, facts)[3] ?? "", facts));
  if (patients.length !== 2 || patients.some((ids) => ids.length === 0))
    throw new Fault("HL7_MALFORMED", "an unlink needs both patients, each in a PID with a number in PID-3");
  return patients;
}

/** What a message calls its patients, for the order of messages: every number in PID-3 and MRG-1, whoever gave it. */
export function patientsNamed(message: Uint8Array, facts: MessageFacts): readonly string[] {
  const named: string[] = [];
  for (const segment of segments(message)) {
    const at = { PID: 3, MRG: 1 }[segment.name];
    if (at !== undefined)
      named.push(...identifiersIn(fieldsOf(segment, facts)[at] ?? "", facts).map((identifier) => identifier.id));
    else if (segment.name === "OBX") break;
    if (named.length > maxNamed) break;
  }
  return named;
}
const maxNamed = 1_000;
