/** Whether a message and its document are of one patient, by the channel's grade: ids that contradict, and a person that does (a newborn under its mother's id). */
import { type ErrorCode, Fault } from "../errors.ts";
import type { CdaFacts } from "../formats/cda.ts";
import type { PatientId } from "../formats/command.ts";
import type { Store } from "../store/store.ts";
import type { OutboundChannel } from "./config.ts";
import { comparePatients } from "./identifiers.ts";
import { areMerged } from "./merge.ts";
import { differsFrom, type Person } from "./patient.ts";

export type PatientJudged = {
  readonly note: "PATIENT_MISMATCH" | "PATIENT_NOT_COMPARABLE" | null;
  readonly held: { readonly code: ErrorCode; readonly reason: string } | undefined;
};

/** PATIENT_MISMATCH where the ids contradict and the grade is `reject`; a person with the same id is never refused, but held. */
export function judgePatient(
  store: Store,
  grade: OutboundChannel["validate"]["document"]["patient"],
  { ids, person }: { readonly ids: readonly PatientId[]; readonly person: Person },
  cda: CdaFacts,
): PatientJudged {
  if (grade === "skip") return { note: null, held: undefined };
  const { comparable, mismatch } = comparePatients(ids, cda.patientIds);
  if (mismatch && !areMerged(store, ids, cda.patientIds)) {
    if (grade === "reject")
      throw new Fault(
        "PATIENT_MISMATCH",
        "PID-3 and the document's recordTarget name different patients under one authority; correct the message",
      );
    return mismatched(grade, "the message and its document name different patients");
  }
  if (!comparable) return { note: "PATIENT_NOT_COMPARABLE", held: undefined };
  const differs = differsFrom(person, { birthDate: cda.birthTime, sex: cda.gender });
  return differs
    ? mismatched(
        grade,
        `the message and its document give one patient id another ${differs}: a newborn on its mother's?`,
      )
    : { note: null, held: undefined };
}

const mismatched = (grade: "reject" | "hold" | "warn", reason: string): PatientJudged => ({
  note: "PATIENT_MISMATCH",
  held: grade === "warn" ? undefined : { code: "PATIENT_MISMATCH", reason },
});
