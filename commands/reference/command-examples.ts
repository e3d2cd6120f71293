/** One command of each kind as it may be sent or answered, and what the reference says of it. `test/commands/reference.test.ts` reads each with the schema that the program reads it with. */
import type { CommandName, Draft } from "../../formats/command.ts";
import { type DocumentEntry, entryUuidOf } from "../../formats/document-entry.ts";

/** Where it is sent and with which purpose, or what it answers; what it is; one of each form that it has. */
export type Example<N extends CommandName> = {
  readonly where: string;
  readonly says: string;
  readonly examples: readonly Draft<N>[];
};

const hex = (digit: string, digits: number): string => digit.repeat(digits);
const [hex32, manifestSha256] = [hex("b", 32), hex("c", 64)];
const [uniqueId, former] = ["2.16.886.104.1.100008^R.1", "2.16.886.104.1.100008^R.0"];
const [national, ours] = ["2.16.886.101.20003.20001", "2.16.886.104.1"].map((root, n) => ({
  root,
  extension: ["A123456789", "7001234"][n] ?? "",
})) as [Id, Id];
type Id = DocumentEntry["patientIds"][number];

/** An entry as the program makes it of a document that replaces another one. */
export const exampleEntry: DocumentEntry = {
  uniqueId,
  entryUuid: entryUuidOf("hospital-a", uniqueId),
  patientIds: [ours, national],
  form: "121",
  classCode: "121",
  typeCode: "34133-9",
  formatCode: "2.16.886.101.20003.20014:121_V101.0",
  practiceSettingCode: null,
  healthcareFacilityTypeCode: null,
  confidentialityCode: "N",
  eventCodeList: [],
  creationTime: "20260116093000+0800",
  serviceStartTime: null,
  serviceStopTime: null,
  author: "Wang",
  legalAuthenticator: null,
  title: "Outpatient record",
  languageCode: "zh-TW",
  mimeType: "text/xml",
  hash: hex("d", 64),
  size: 2288,
  repositoryUniqueId: "hospital-a",
  availabilityStatus: "approved",
  referenceIdList: [],
  objectType: "stable",
  relatedDocuments: [{ type: "RPLC", uniqueId: former }],
  images: null,
};
const registration = { manifestSha256, entry: exampleEntry };
const { hash: _hash, size: _size, ...late } = exampleEntry;
const own = { command: "change", uniqueId, manifestSha256 } as const;
const asked = { command: "query", purposeOfUse: "TREAT" } as const;

/** By name, in the order of a record's way. */
export const commandExamples: { readonly [N in CommandName]: Example<N> } = {
  register: {
    where: "`/registry/submissions`, purpose register; answered by a receipt",
    says: "`manifestSha256` is that of the record's own manifest, which its house signed (purpose `provide`, for itself) and gives as `origin` to who retrieves it; the receipt has it in `names`, and travels with the record as its mark. `submissionSet` is the sender's own name for the set.",
    examples: [{ command: "register", submissionSet: hex32, entries: [registration] }],
  },
  query: {
    where: "`/registry/queries`, purpose query; answered by `found`",
    says: "Which queries there are, filters, pages, purposes of use: [the registry](../registry.md#asking). For the next page all is asked as before, with `cursor`; only `limit` may differ.",
    examples: [
      { ...asked, query: "findDocuments", patientIds: [national], forms: ["121"], limit: 50 },
      { ...asked, query: "findDocumentsByReferenceId", patientIds: [national], referenceIds: ["ACC-1"] },
      { ...asked, query: "getDocuments", uniqueIds: [uniqueId] },
      { ...asked, query: "getAssociations", uniqueIds: [uniqueId] },
      { ...asked, query: "getRelatedDocuments", uniqueId, types: ["RPLC"] },
      {
        ...asked,
        query: "findSubmissionSets",
        patientIds: [national],
        submissionTime: { from: "2026-01-01T00:00:00Z" },
      },
      { ...asked, query: "getSubmissionSetAndContents", id: hex32 },
    ],
  },
  found: {
    where: "the answer to `query`, purpose response",
    says: "`org` of an entry is who registered it; the record is asked of `entry.repositoryUniqueId`, and its origin's manifest has to be `manifestSha256`, signed by `org`. In associations `source` does it to `target`; the source of `HasMember` is the id of a submission set.",
    examples: [
      {
        command: "found",
        submissionSets: [{ id: hex("e", 32), org: "hospital-a", name: hex32, submittedAt: "2026-01-16T01:31:00.120Z" }],
        entries: [{ id: hex("f", 32), org: "hospital-a", registeredAt: "2026-01-16T01:31:00.120Z", ...registration }],
        associations: [{ type: "RPLC", source: uniqueId, target: former }],
        next: null,
      },
    ],
  },
  retrieve: {
    where: "`/repository/retrievals`, purpose retrieve; answered by the record, purpose response, with its `origin`",
    says: "Part 1 of the answer is the document, or `addendum`. A large one may be [fetched later](../registry.md#fetching).",
    examples: [{ command: "retrieve", uniqueId, manifestSha256 }],
  },
  addendum: {
    where: "part 1 of a record that has no document of its own: images that came after their document was sealed",
    says: "`entry` is the addendum's own, without `hash` and `size`, which are those of this part; where it is registered it has them. `replaces`, which may be left out, names instances of before that are not to be used any more, by UID and digest of record.",
    examples: [
      { command: "addendum", appends: uniqueId, replaces: [{ sop: "1.2.3", digest: hex("0", 64) }], entry: late },
    ],
  },
  change: {
    where: "`/registry/changes`, purpose change; answered by a receipt",
    says: "What each does, and who may: [the registry](../registry.md#changing).",
    examples: [
      { ...own, action: "deprecate" },
      { ...own, action: "remove" },
      { ...own, action: "update", entry: { ...exampleEntry, title: "Outpatient record, corrected" } },
      { command: "change", action: "merge", merges: [{ prior: { ...ours, extension: "7009999" }, surviving: ours }] },
      { command: "change", action: "unmerge", merges: [{ prior: { ...ours, extension: "7009999" }, surviving: ours }] },
      { command: "change", action: "consent", patientIds: [ours], decision: "withhold", orgs: ["hospital-b"] },
    ],
  },
  correction: {
    where: "`/repository/documents`, purpose notify, at a house that has the record; answered by a receipt",
    says: "`uniqueId` and `manifestSha256` are those of the record that the house has, `by` is what is registered of the one that replaces it, which the house then retrieves, or null: it was cancelled.",
    examples: [
      { command: "correction", uniqueId: former, manifestSha256: hex("1", 64), by: registration },
      { command: "correction", uniqueId, manifestSha256, by: null },
    ],
  },
  relation: {
    where: "`/repository/relations`, purpose notify, ahead of a push; answered 204",
    says: "What the document that is pushed next is to another one of the sender's, where it does not say so itself.",
    examples: [{ command: "relation", uniqueId, relatedDocument: { type: "APND", uniqueId: former } }],
  },
  status: {
    where: "`/registry/status`, `/repository/status`, purpose status; answered by a receipt, `unknown` or `holds`",
    says: "Whether a message of one's own got through; or which of these heads the audit log of who is asked has.",
    examples: [
      { command: "status", message: hex32 },
      { command: "status", heads: [{ seq: 4711, head: hex("2", 64) }] },
    ],
  },
  unknown: {
    where: "an answer to `status`, purpose response",
    says: "No such message of yours is here.",
    examples: [{ command: "unknown", message: hex32 }],
  },
  holds: {
    where: "an answer to `status`, purpose response",
    says: "The first of the heads that the log has, or null.",
    examples: [{ command: "holds", head: { seq: 4711, head: hex("2", 64) } }],
  },
  refusal: {
    where: "the answer to anything, purpose refusal, with the HTTP status that it names",
    says: "Codes, and what to do about each: [error codes](errors.md).",
    examples: [
      {
        command: "refusal",
        type: "urn:semrs:problem:DOCUMENT_UNKNOWN",
        title: "no such entry is registered; register it first",
        status: 404,
        code: "DOCUMENT_UNKNOWN",
      },
    ],
  },
};
