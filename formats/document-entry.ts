/** The document entry: what the registry indexes of a document, under its IHE XDS names (ITI TF-3 4.2.3.2). */
import { createHash } from "node:crypto";
import { z } from "zod";
import type { CdaFacts, CdaId } from "./cda.ts";

const text = z.string().max(1024);
const optional = text.nullable();

export const documentEntrySchema = z.strictObject({
  /** root^extension of the document's id. */
  uniqueId: z.string().min(1).max(512),
  /** Names this entry for good; the same for the same document of the same repository. */
  entryUuid: z.string().regex(/^urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/),
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
  /** Approved when it is provided; what became of it since is the registry's to say. */
  availabilityStatus: z.enum(["approved", "deprecated"]),
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

/** An entry of the first versions had neither an id of its own nor a status: it is given those that it would have today. */
export function completed<T>(entry: T): T {
  if (typeof entry !== "object" || entry === null || ("entryUuid" in entry && "availabilityStatus" in entry))
    return entry;
  const { repositoryUniqueId, uniqueId } = entry as Partial<DocumentEntry>;
  return { entryUuid: entryUuidOf(`${repositoryUniqueId}`, `${uniqueId}`), availabilityStatus: "approved", ...entry };
}

/** What an entry is made from: the header's facts, and what is known of the octets. */
export type EntrySource = {
  readonly facts: CdaFacts;
  readonly sha256: string;
  readonly size: number;
  readonly repositoryUniqueId: string;
  readonly images: DocumentEntry["images"];
};

type Mapping = {
  readonly [K in keyof DocumentEntry]: {
    /** Where it comes from: an XPath below ClinicalDocument, or what is not in the header. */
    readonly from: string;
    /** Section of IHE ITI TF-3 4.2.3.2 that defines it. */
    readonly clause: string;
    readonly of: (source: EntrySource) => DocumentEntry[K];
  };
};

const cut = (value: string | null | undefined): string | null => value?.slice(0, 1024) ?? null;
const idOf = ({ root, extension }: CdaId): string => (extension ? `${root}:${extension}` : root);

/** Every attribute of an entry, where it comes from, and the clause that defines it (with IHE PCC TF-2 4.1.1 for CDA). */
export const entryMapping: Mapping = {
  uniqueId: { from: "id", clause: "26", of: ({ facts }) => facts.uniqueId },
  entryUuid: {
    from: "derived from repositoryUniqueId and uniqueId",
    clause: "7",
    of: ({ facts, repositoryUniqueId }) => entryUuidOf(repositoryUniqueId, facts.uniqueId),
  },
  patientIds: {
    from: "recordTarget/patientRole/id and patient/id",
    clause: "16, 22",
    of: ({ facts }) => facts.patientIds.map(({ root, extension }) => ({ root, extension })),
  },
  form: { from: "templateId of the EEC", clause: "none; the paper's EMR category", of: ({ facts }) => facts.form },
  classCode: { from: "the form, else code/@code", clause: "3", of: ({ facts }) => facts.form ?? cut(facts.code.code) },
  typeCode: { from: "code/@code", clause: "25", of: ({ facts }) => cut(facts.code.code) },
  formatCode: {
    from: "the first templateId",
    clause: "9",
    of: ({ facts }) => cut(facts.templateIds[0] && idOf(facts.templateIds[0])),
  },
  practiceSettingCode: {
    from: "componentOf/encompassingEncounter/location/healthCareFacility/location/name",
    clause: "17",
    of: ({ facts }) => cut(facts.encounter?.department),
  },
  healthcareFacilityTypeCode: {
    from: "componentOf/encompassingEncounter/location/healthCareFacility/code/@code",
    clause: "11",
    of: ({ facts }) => cut(facts.encounter?.facility.code),
  },
  confidentialityCode: {
    from: "confidentialityCode/@code",
    clause: "5",
    of: ({ facts }) => cut(facts.confidentialityCode),
  },
  eventCodeList: {
    from: "documentationOf/serviceEvent/code/@code",
    clause: "8",
    of: ({ facts }) => [...new Set(facts.serviceEvents.flatMap(({ code }) => cut(code.code) ?? []))].slice(0, 64),
  },
  creationTime: { from: "effectiveTime/@value, as written", clause: "6", of: ({ facts }) => facts.effectiveTime },
  serviceStartTime: {
    from: "documentationOf/serviceEvent/effectiveTime/low/@value, or its @value",
    clause: "19",
    of: ({ facts }) => cut(facts.serviceEvents[0]?.start),
  },
  serviceStopTime: {
    from: "documentationOf/serviceEvent/effectiveTime/high/@value, or its @value",
    clause: "20",
    of: ({ facts }) => cut(facts.serviceEvents[0]?.stop),
  },
  author: {
    from: "author/assignedAuthor/assignedPerson/name, or the device's softwareName",
    clause: "1",
    of: ({ facts }) => cut(facts.authors.find(({ name }) => name !== null)?.name),
  },
  legalAuthenticator: {
    from: "legalAuthenticator/assignedEntity/assignedPerson/name",
    clause: "14",
    of: ({ facts }) => cut(facts.legalAuthenticator?.name),
  },
  title: { from: "title", clause: "24", of: ({ facts }) => cut(facts.title) },
  languageCode: { from: "languageCode/@code", clause: "13", of: ({ facts }) => cut(facts.languageCode) },
  mimeType: { from: "text/xml", clause: "15", of: () => "text/xml" },
  hash: { from: "SHA-256 of the octets", clause: "10", of: ({ sha256 }) => sha256 },
  size: { from: "how many octets", clause: "21", of: ({ size }) => size },
  repositoryUniqueId: { from: "the organisation", clause: "18", of: ({ repositoryUniqueId }) => repositoryUniqueId },
  availabilityStatus: { from: "approved, when it is provided", clause: "2", of: () => "approved" },
  referenceIdList: {
    from: "inFulfillmentOf/order/id of imaging reports, and the study UIDs",
    clause: "28",
    of: ({ facts }) => [...facts.accessionNumbers, ...facts.studyUids],
  },
  objectType: { from: "stable", clause: "30", of: () => "stable" },
  relatedDocuments: {
    from: "relatedDocument (RPLC, APND, XFRM)",
    clause: "none; ITI TF-3 4.2.2 associations",
    of: ({ facts }) => [...facts.relatedDocuments],
  },
  images: { from: "the instances that travel with it", clause: "none", of: ({ images }) => images },
};

/** The entry of a document, from its header alone. */
export const documentEntry = (facts: CdaFacts, extra: Omit<EntrySource, "facts">): DocumentEntry =>
  Object.fromEntries(
    Object.entries(entryMapping).map(([name, { of }]) => [name, of({ facts, ...extra })]),
  ) as unknown as DocumentEntry;

/** A UUID (RFC 9562 version 8) of what the entry is of: registered again, it is the same. */
export function entryUuidOf(repositoryUniqueId: string, uniqueId: string): string {
  const bytes = createHash("sha256").update(`${repositoryUniqueId}\n${uniqueId}`).digest().subarray(0, 16);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x80;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = bytes.toString("hex");
  return `urn:uuid:${[hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-")}`;
}
