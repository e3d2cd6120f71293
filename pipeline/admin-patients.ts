/** What the admin port can be asked about a patient. Who it is stands in the body: no address carries a patient's number. */
import { z } from "zod";
import { eecForms, maxPatientIds } from "../formats/command.ts";
import { writtenPatient } from "../formats/hl7-patient.ts";
import { patientId } from "../formats/query.ts";
import { get, post, type Route } from "./admin-route.ts";
import { consentTold, readConsents, tellConsent } from "./consents.ts";
import { erasePatient } from "./erasure.ts";
import { fetchNow } from "./fetch-now.ts";

const short = z.string().max(64);
const reason = z.string().min(1).max(512);
const patientIds = z.array(patientId).min(1).max(maxPatientIds);
/** The patient as this house knows them, where a channel delivers with identity: ours. */
const toldPatient = z.strictObject({
  numbers: z
    .array(
      z.strictObject({
        id: short.min(1),
        issuer: short.nullable().default(null),
        typeCode: short.nullable().default(null),
      }),
    )
    .min(1)
    .max(64),
  familyName: z.string().max(256).default(""),
  givenName: z.string().max(256).default(""),
  birthDate: short.default(""),
  sex: short.default(""),
  patientClass: short.default(""),
  visitNumber: short.default(""),
  accessionNumber: z.string().max(16).nullable().default(null),
});
const fetchBody = z.strictObject({
  patientIds,
  patient: toldPatient.optional(),
  emergency: z
    .strictObject({ reason: reason.describe("Read by whoever reviews the access at the registry.") })
    .optional()
    .describe("Asks past consent (ETREAT)."),
});
const consentBody = z.strictObject({
  patientIds: patientIds.describe("Ids of one patient that this house gives."),
  decision: z.enum(["withhold", "share"]),
  orgs: z.array(short.min(1)).min(1).max(1000).optional().describe("To these houses; all of them unless said."),
  forms: z
    .array(z.enum([...eecForms, "other"]))
    .min(1)
    .optional()
    .describe("Documents of these EEC forms, `other` for those of none; all unless said."),
  reason,
});
const erasureBody = z.strictObject({
  patientIds: patientIds.describe("Ids of one patient."),
  reason: reason.describe("Kept in the audit log: it names nobody."),
  confirmed: z.boolean().default(false).describe("Nothing undoes it; without it nothing is erased."),
});
const consentsBody = z.strictObject({ patientIds, reason: z.string().max(512).default("") });

export const patientRoutes: readonly Route[] = [
  post("/consents", {
    summary: "What a patient withholds or shares, told to the registry: in force once it has signed for it.",
    status: 202,
    body: consentBody,
    answer: ({ running: { site }, body: { patientIds, reason, ...consent } }) =>
      tellConsent(site, patientIds, consent, reason),
  }),
  get("/consents/{id}", {
    summary: "Whether the registry has signed for a consent.",
    answer: ({ running: { site }, id }) => consentTold(site, id),
  }),
  post("/consents/search", {
    summary: "What this house has told of a patient's consents, newest first: reading it is an entry of the audit log.",
    body: consentsBody,
    answer: ({ running: { site }, body }) => readConsents(site, body.patientIds, body.reason),
  }),
  post("/erasures", {
    summary: "Erases a patient: keys, registered entries, merges. Unless confirmed, says what it would.",
    body: erasureBody,
    answer: ({ running: { site }, body: { patientIds, reason, confirmed } }) =>
      erasePatient(site, patientIds, reason, confirmed),
  }),
  post("/fetch", {
    summary: "Asks for a patient's records, where a channel fetches on request; in an emergency past consent.",
    status: 202,
    body: fetchBody,
    answer: ({ running: { site }, body: { patient, ...wanted } }) =>
      fetchNow(site, { ...wanted, ...(patient ? { patient: writtenPatient(patient) } : {}) }),
  }),
];
