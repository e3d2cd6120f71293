/** Whose identity is delivered (decision 6): what an admission said of its patient, kept sealed until the record is delivered. */
import { Fault } from "../errors.ts";
import type { PatientId } from "../formats/command.ts";
import type { DicomIdentity } from "../formats/dicom-splice.ts";
import type { MdmDraft } from "../formats/hl7.ts";
import type { AdmittedPatient, PatientNumber } from "../formats/hl7-patient.ts";
import type { Delivery, Id, StoredRecord } from "../store/store.ts";
import type { InboundChannel } from "./config.ts";
import { currently } from "./merge.ts";
import type { Header } from "./open.ts";
import type { Site } from "./site.ts";

/** Who asked for a record: the patient as this house knows them. */
export type Admission = { readonly ids: readonly PatientId[]; readonly patient: AdmittedPatient };

/** What `identify` works on: null where nobody asked. `isReleased`: a person decided that it goes on. */
export type IdentifyPayload = { readonly admission: Admission | null; readonly isReleased?: true };

type Rule = InboundChannel["deliver"][number];

/** A person's decision, with what it is about. */
export const released = (payload: unknown): IdentifyPayload => ({ ...(payload as IdentifyPayload), isReleased: true });

const maxDeliveries = 100;

/** What a record was identified by; undefined where it was not, or not yet. */
export function identified({ store }: Site, record: Id): IdentifyPayload | undefined {
  const delivery = store.deliveries
    .list({ record, limit: maxDeliveries })
    .find(({ kind, state }) => kind === "identify" && state === "delivered");
  return delivery?.payload as IdentifyPayload | undefined;
}

/**
 * The admission that a record is delivered for; null where a person let it go as it was sealed, or this delivery. PATIENT_UNKNOWN where
 * nobody was compared with it: it began before its channel said `ours`.
 */
function admissionOf(site: Site, record: Id, { id }: Pick<Delivery, "id">): Admission | null {
  const known = identified(site, record);
  if (known) return known.admission && currently(site, known.admission);
  if (site.store.steps.of([id]).some(({ event }) => event === "released")) return null;
  throw new Fault(
    "PATIENT_UNKNOWN",
    "its channel did not say identity: ours when this began, and no admission was compared with it; release it to deliver it with the identity it was sealed with, or discard it",
  );
}

/** PID of a message to the HIS: of the admission, or of the document; what cancels an earlier message has the PID of that one. */
export function patientOf(
  site: Site,
  rule: Rule,
  record: Id,
  cda: Header,
  { id, cancels }: Pick<Delivery, "id"> & { readonly cancels: boolean },
): MdmDraft["patient"] {
  const isAsSealed = rule.identity === "original" || (cancels && !identified(site, record));
  const admission = isAsSealed ? null : admissionOf(site, record, { id });
  if (admission) return admission.patient.written;
  return {
    identifiers: cda.patientIds.map(({ root, extension }) => ({ id: extension || root, root })),
    name: cda.patientName ?? "",
    birthDate: cda.birthTime ?? "",
    sex: cda.gender ?? "",
  };
}

/** What is spliced into the copies for a PACS; null where they go as they were sealed. */
export function dicomIdentity(
  site: Site,
  rule: Rule,
  { id, author }: StoredRecord,
  delivery: Delivery,
): DicomIdentity | null {
  const admission = rule.identity === "ours" ? admissionOf(site, id, delivery) : null;
  if (!admission) return null;
  const number = numberOf(rule, admission);
  return {
    patientId: number.id,
    issuerOfPatientId: number.issuer,
    accessionNumber: admission.patient.accessionNumber ?? (rule.accession === "keep" ? undefined : ""),
    // The same for every attempt, so that a PACS sees the same bytes again.
    modifiedAt: new Date(delivery.createdAt),
    modifyingSystem: site.config.site,
    source: author,
  };
}

/** HL7 Table 0203: medical record number. */
const medicalRecord = "MR";

/** The number under which a PACS files the patient; PATIENT_UNKNOWN when the admission has none. */
export function numberOf({ authority }: Rule, { patient: { numbers } }: Admission): PatientNumber {
  const number = authority
    ? numbers.find(({ issuer }) => issuer === authority)
    : (numbers.find(({ typeCode }) => typeCode === medicalRecord) ?? numbers[0]);
  if (number) return number;
  const of = authority ? ` of ${authority}` : "";
  throw new Fault("PATIENT_UNKNOWN", `the admission has no number${of} in PID-3; correct authority, or admit again`);
}

/** What is known of a person beside their numbers, as some standard writes it. */
export type Person = { readonly birthDate: string | null; readonly sex: string | null };

/** Birth date or sex are both known and differ: dates on the precision they share, sex only between F and M. */
export function differsFrom(one: Person, other: Person): "birth date" | "sex" | null {
  const [birth, otherBirth] = [digitsOf(one.birthDate), digitsOf(other.birthDate)];
  const shared = Math.min(birth.length, otherBirth.length);
  if (birth.slice(0, shared) !== otherBirth.slice(0, shared)) return "birth date";
  const [sex, otherSex] = [sexOf(one.sex), sexOf(other.sex)];
  return sex && otherSex && sex !== otherSex ? "sex" : null;
}

/** Year, month and day as far as they are written: 1985, 198504, 19850412, 1985.04.12; a year of zeros is none. */
function digitsOf(date: string | null): string {
  const digits = /^\d{4}(\d{2}(\d{2})?)?/.exec((date ?? "").replaceAll(/[.-]/g, ""))?.[0] ?? "";
  return digits.startsWith("0000") ? "" : digits.replace(/^(\d{4})00.*/, "$1").replace(/^(\d{6})00$/, "$1");
}

/** Other, ambiguous, unknown and undifferentiated contradict nothing: modalities and registrations use them for "not asked". */
const sexOf = (sex: string | null): string => /^[FM]$/.exec((sex ?? "").trim().toUpperCase())?.[0] ?? "";
