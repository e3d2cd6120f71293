/**
 * What a registry is asked, and what it answers (ITI-18): the stored queries of IHE ITI TF-2 3.18.4.1.2.3.7 in one JSON form.
 * Arrays are OR, fields are AND; an unknown field is refused, never ignored. Answers are newest first, a page at a time.
 */
import { z } from "zod";
import { completed, documentEntrySchema } from "./document-entry.ts";

/** Ids in one query. */
export const maxPatientIds = 64;
/** Documents in one query that names them. */
const maxNamed = 200;
/** Rows of one page. */
export const maxPage = 1000;
const defaultPage = 100;
const maxValues = 64;

export const hex32 = z.string().regex(/^[0-9a-f]{32}$/);
export const hex64 = z.string().regex(/^[0-9a-f]{64}$/);
export const patientId = z.strictObject({ root: z.string().max(256), extension: z.string().max(256) });
const text = z.string().max(1024);
const uniqueId = z.string().min(1).max(512);
const values = z.array(text).min(1).max(maxValues).optional();
/** ISO 8601, UTC: `from` is in it, `to` is not. */
const time = z.iso.datetime().optional();
const period = z.strictObject({ from: time, to: time }).optional();

const status = z
  .array(z.enum(["approved", "deprecated"]))
  .min(1)
  .max(2)
  .default(["approved"]);
const patientIds = z.array(patientId).min(1).max(maxPatientIds);
const associationType = z.enum(["HasMember", "RPLC", "APND", "XFRM"]);

/** HL7 v3 ActReason: treatment, emergency treatment, coordination of care, the patient's own request, public health. */
export const purposesOfUse = ["TREAT", "ETREAT", "COC", "PATRQT", "PUBHLTH"] as const;
export type PurposeOfUse = (typeof purposesOfUse)[number];

/** What every query may say. */
const common = {
  command: z.literal("query"),
  limit: z.int().min(1).max(maxPage).default(defaultPage),
  /** `next` of the page before; everything else must be asked as it was. */
  cursor: z.string().max(1024).optional(),
  purposeOfUse: z.enum(purposesOfUse),
  /** Why, in an emergency. */
  reason: z.string().min(1).max(512).optional(),
};

/** What entries are chosen by, beside who they are of. */
const filters = {
  status,
  forms: values,
  classCode: values,
  typeCode: values,
  formatCode: values,
  practiceSettingCode: values,
  healthcareFacilityTypeCode: values,
  confidentialityCode: values,
  eventCodeList: values,
  author: values,
  /** Who registered it. */
  org: values,
  creationTime: period,
  serviceStartTime: period,
  serviceStopTime: period,
  registered: period,
};

export const querySchema = z.discriminatedUnion("query", [
  z.strictObject({ ...common, query: z.literal("findDocuments"), patientIds, ...filters }),
  z.strictObject({
    ...common,
    query: z.literal("findDocumentsByReferenceId"),
    patientIds,
    /** Accession numbers and study UIDs. */
    referenceIds: z.array(text).min(1).max(maxValues),
    ...filters,
  }),
  z.strictObject({ ...common, query: z.literal("getDocuments"), uniqueIds: z.array(uniqueId).min(1).max(maxNamed) }),
  z.strictObject({ ...common, query: z.literal("getAssociations"), uniqueIds: z.array(uniqueId).min(1).max(maxNamed) }),
  z.strictObject({
    ...common,
    query: z.literal("getRelatedDocuments"),
    uniqueId,
    types: z
      .array(associationType.exclude(["HasMember"]))
      .min(1)
      .max(3)
      .optional(),
  }),
  z.strictObject({
    ...common,
    query: z.literal("findSubmissionSets"),
    patientIds,
    /** Who sent it. */
    org: values,
    submissionTime: period,
  }),
  z.strictObject({ ...common, query: z.literal("getSubmissionSetAndContents"), id: hex32 }),
]);

const registration = { manifestSha256: hex64, entry: z.preprocess(completed, documentEntrySchema) };

/** An entry as it is registered; `availabilityStatus` is the registry's. */
const registered = z.strictObject({
  id: hex32,
  /** Who registered it. */
  org: z.string().max(64),
  registeredAt: z.string().max(32),
  ...registration,
});

const submissionSet = z.strictObject({
  /** The registry's own. */
  id: hex32,
  org: z.string().max(64),
  /** The sender's. */
  name: hex32,
  submittedAt: z.string().max(32),
});

/** `source` and `target` are uniqueIds; the source of HasMember is a submission set's id. */
const association = z.strictObject({ type: associationType, source: uniqueId, target: uniqueId });

export const foundSchema = z.strictObject({
  command: z.literal("found"),
  submissionSets: z.array(submissionSet).max(maxPage),
  entries: z.array(registered).max(maxPage),
  associations: z.array(association),
  /** Asks for the page after this one; null when there is none. */
  next: z.string().max(1024).nullable(),
});

export const registrationSchema = z.strictObject(registration);

export type PatientId = z.output<typeof patientId>;
export type Registered = z.output<typeof registered>;
export type Query = z.output<typeof querySchema>;
export type QueryOf<Q extends Query["query"]> = Extract<Query, { query: Q }>;
export type Filters = Pick<QueryOf<"findDocuments">, keyof typeof filters>;
export type Found = z.output<typeof foundSchema>;
