/** The document entry: what the registry indexes of a document, under its IHE XDS names (ITI TF-3 4.2.3.2). */
import { z } from "zod";
import type { CdaFacts } from "./cda.ts";

const text = z.string().max(1024);
const optional = text.nullable();

export const documentEntrySchema = z.strictObject({
  /** root^extension of the document's id. */
  uniqueId: z.string().min(1).max(512),
  patientIds: z
    .array(z.strictObject({ root: text, extension: text }))
    .min(1)
    .max(512),
  /** EEC form; null for any other document. */
  form: z.string().max(16).nullable(),
  classCode: optional,
  typeCode: optional,
  formatCode: optional,
  practiceSettingCode: optional,
  healthcareFacilityTypeCode: optional,
  confidentialityCode: optional,
  eventCodeList: z.array(text).max(64),
  creationTime: text,
  serviceStartTime: optional,
  serviceStopTime: optional,
  author: optional,
  legalAuthenticator: optional,
  title: optional,
  languageCode: optional,
  mimeType: text,
  /** SHA-256 of the document's octets, hex. */
  hash: z.string().regex(/^[0-9a-f]{64}$/),
  size: z.int().min(1),
  /** The organisation whose repository holds it. */
  repositoryUniqueId: z.string().min(1).max(256),
  /** Accession numbers and study UIDs. */
  referenceIdList: z.array(text).max(512),
  objectType: z.literal("stable"),
  relatedDocuments: z
    .array(z.strictObject({ type: z.enum(["RPLC", "APND", "XFRM"]), uniqueId: z.string().max(512) }))
    .max(256),
  images: z
    .strictObject({
      studies: z.array(text).max(512),
      modalities: z.array(text).max(64),
      series: z.int(),
      instances: z.int(),
    })
    .nullable(),
});
export type DocumentEntry = z.output<typeof documentEntrySchema>;

const cut = (value: string | null): string | null => value?.slice(0, 1024) ?? null;

/** The entry of a document, from its header alone. */
export function documentEntry(
  facts: CdaFacts,
  extra: {
    readonly sha256: string;
    readonly size: number;
    readonly repositoryUniqueId: string;
    readonly images: DocumentEntry["images"];
  },
): DocumentEntry {
  return {
    uniqueId: facts.uniqueId,
    patientIds: facts.patientIds.map(({ root, extension }) => ({ root, extension })),
    form: facts.form,
    classCode: facts.form ?? facts.code.code,
    typeCode: cut(facts.code.code),
    formatCode: cut(
      facts.templateIds.map(({ root, extension }) => (extension ? `${root}:${extension}` : root))[0] ?? null,
    ),
    practiceSettingCode: cut(facts.practiceSetting),
    healthcareFacilityTypeCode: null,
    confidentialityCode: cut(facts.confidentialityCode),
    eventCodeList: facts.accessionNumbers.length + facts.studyUids.length > 0 ? ["imaging"] : [],
    creationTime: facts.effectiveTime,
    serviceStartTime: cut(facts.serviceStart),
    serviceStopTime: cut(facts.serviceStop),
    author: cut(facts.author),
    legalAuthenticator: cut(facts.legalAuthenticator),
    title: cut(facts.title),
    languageCode: cut(facts.languageCode),
    mimeType: "text/xml",
    hash: extra.sha256,
    size: extra.size,
    repositoryUniqueId: extra.repositoryUniqueId,
    referenceIdList: [...facts.accessionNumbers, ...facts.studyUids],
    objectType: "stable",
    relatedDocuments: [...facts.relatedDocuments],
    images: extra.images,
  };
}
