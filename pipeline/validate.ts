/** Station `validate`: a document's hard rules and its patient, an instance's structure. Grades come from the channel. */
import { hash } from "node:crypto";
import { sealPart, sealWhole } from "../envelope/index.ts";
import { Fault } from "../errors.ts";
import type { CdaFacts } from "../formats/cda.ts";
import type { CdaFinding } from "../formats/cda-finding.ts";
import { examineDocument } from "../formats/cda-pool.ts";
import type { PatientId } from "../formats/command.ts";
import type { DicomFacts } from "../formats/dicom.ts";
import { type DicomFinding, tagText } from "../formats/dicom-iod.ts";
import { type DocumentEntry, documentEntry } from "../formats/document-entry.ts";
import type { DocumentEvent } from "../formats/hl7.ts";
import { type DocumentNames, differing } from "../formats/hl7-txa.ts";
import type { BlobName, Id, Item, StagedBlob } from "../store/store.ts";
import type { OutboundChannel } from "./config.ts";
import { replacesJoin } from "./correction.ts";
import { gradeFindings } from "./document-grades.ts";
import { judgePatient } from "./document-patient.ts";
import { joinsOf } from "./joins.ts";
import { caseJoins, relatedOf } from "./original.ts";
import type { Person } from "./patient.ts";
import type { Relation } from "./relation.ts";
import type { Site } from "./site.ts";
import type { Stage } from "./staging.ts";

declare const stage: unique symbol;
/**
 * What a station has made, so that nothing else goes on to the next one. No value has the symbol: the station that makes one, or who
 * reads it back from the store, claims it by a cast (`as Partial<Sealed> as Sealed`).
 */
export type At<S extends string, T> = T & { readonly [stage]: S };

/** What the store keeps, sealed, of a document that waits. */
export type DocumentFacts = {
  readonly entry: DocumentEntry;
  readonly event: DocumentEvent;
  /** X-EEC-MessageType: the EEC form, else the LOINC code, else `other`. */
  readonly messageType: string;
  /** Whether a study is expected with it. */
  readonly refers: boolean;
  /** The study's patient may not be another: the document's ids without their roots. */
  readonly extensions: readonly string[];
  /** What came beside it in its message and travels with it: kept blobs, with their media type. */
  readonly attachments?: readonly Attachment[];
  /** What it is to another document of this house by its message alone: it does not say so itself. */
  readonly relation?: Relation;
};

export type Attachment = { readonly blob: BlobName; readonly type: string };

/** An instance that passed its channel's rules and is kept once its blob is durable. */
export type ValidatedInstance = At<
  "validated",
  {
    readonly item: Item;
    /** Codes of what was found and let pass. */
    readonly findings: readonly string[];
  }
>;

/** A document that did, and is ready to be kept. */
export type Validated = ValidatedInstance & {
  readonly blob: StagedBlob;
  /** Blobs of its attachments, to be kept with it. */
  readonly attached: readonly StagedBlob[];
};

export type ReceivedDocument = {
  readonly arrival: Id;
  readonly bytes: Uint8Array;
  readonly cda: CdaFacts;
  /** What the channel's checks found, where they were made with the facts. */
  readonly findings: readonly CdaFinding[] | undefined;
  readonly event: DocumentEvent;
  /** PID-3 as patient ids. */
  readonly patient: readonly PatientId[];
  /** PID-7 and PID-8. */
  readonly person: Person;
  /** What TXA says of the document. */
  readonly txa: DocumentNames;
  /** Joins under which its sender may name it again (TXA-12). */
  readonly names: readonly string[];
  /** uniqueId of the document of ours that it replaces or appends to, where its sender says so (TXA-13). */
  readonly parent: string | null;
  /** What came beside it in its message. */
  readonly beside: readonly { readonly bytes: Uint8Array; readonly type: string }[];
};

/** Reads the facts and applies the hard rules (always on): CDA_INVALID says which rule and where. */
export const rulesOf = async (bytes: Uint8Array): Promise<CdaFacts> => (await examineDocument(bytes)).facts;

/** The same of a document that may be for these channels. Where it can be for one alone, its checks come with it: one parse for all. */
export async function firstExamined(
  { config }: Site,
  channels: readonly OutboundChannel[],
  bytes: Uint8Array,
): Promise<{ readonly cda: CdaFacts; readonly findings: readonly CdaFinding[] | undefined }> {
  const [only, other] = channels;
  const checks = only && !other ? config.own.checks[only.name] : undefined;
  // Schematron takes long: not before it is known that the document is new.
  const isChecked = checks !== undefined && !checks.schematron;
  const { facts, findings } = await examineDocument(bytes, isChecked ? checks : {});
  return { cda: facts, findings: isChecked ? findings : undefined };
}

/**
 * A document for a channel: checked by its rule sets and schema, its patient compared with the message's, its bytes sealed: `stage` is told.
 * CDA_RULE, CDA_SCHEMA and PATIENT_MISMATCH by grade.
 */
export async function validateDocument(
  site: Site,
  channel: OutboundChannel,
  received: ReceivedDocument,
  stage: Stage,
): Promise<Validated> {
  const { store, config, now } = site;
  const { cda, bytes } = received;
  const patientOf = { ids: received.patient, person: received.person };
  const judged = judgePatient(store, channel.validate.document.patient, patientOf, cda);
  const checks = config.own.checks[channel.name];
  const { held, notes } = gradeFindings(
    channel.validate.document,
    received.findings ?? (checks ? (await examineDocument(bytes, checks)).findings : []),
  );
  const sha256 = hash("sha256", bytes);
  const part = sealWhole(bytes, sha256);
  const blob = stage(await store.blobs.put(part.cipher, part.facts));
  const written = documentEntry(cda, { sha256, size: bytes.length, repositoryUniqueId: config.site, images: null });
  const extensions = cda.patientIds.map(({ root, extension }) => extension || root);
  const patients = extensions.map((extension) => store.tokens.of("patient", "", extension));
  const cases = caseJoins(store, cda, received.txa.orders);
  const { relatedDocuments, relation, finding } = relatedOf(store, written, received, { joins: cases, patients });
  const entry = { ...written, relatedDocuments };
  const replaced = relatedDocuments
    .filter(({ type }) => type === "RPLC")
    .map((each) => replacesJoin(store.tokens.of("document", "", each.uniqueId)));
  const findings = [...notes, ...[judged.note, finding, differing(received.txa, cda)].filter((each) => each !== null)];
  for (const code of new Set(findings.flatMap((each) => /^[A-Z_]+/.exec(each)?.[0] ?? [])))
    site.log("validate.warned", { channel: channel.name, message: received.arrival, code }, "warn");
  const joins = channel.assemble ? joinsOf(store.tokens, channel.assemble, cda.studyUids, cda.accessionNumbers) : [];
  const attached: StagedBlob[] = [];
  for (const each of received.beside) {
    const sealed = sealPart(chunks(each.bytes), "segments");
    attached.push(stage(await store.blobs.put(sealed.cipher, sealed.facts)));
  }
  const attachments = attached.map(({ name }, index): Attachment => {
    const { type = "application/octet-stream" } = received.beside[index] ?? {};
    return { blob: name, type };
  });
  const facts: DocumentFacts = {
    entry,
    event: received.event,
    messageType: cda.form ?? cda.code.code ?? "other",
    refers: joins.length > 0,
    extensions,
    ...(attachments.length > 0 ? { attachments } : {}),
    ...(relation ? { relation } : {}),
  };
  const why = judged.held ?? held;
  const item: Item = {
    id: store.newId(),
    kind: "document",
    arrival: received.arrival,
    channel: channel.name,
    key: store.tokens.of("document", "", cda.uniqueId),
    digest: store.tokens.of("digest", "", sha256),
    blob: blob.name,
    joins: [...joins, ...received.names, ...cases, ...replaced],
    patients,
    state: why ? "held" : "waiting",
    code: why?.code ?? null,
    reason: why?.reason ?? null,
    since: now().toISOString(),
    record: null,
    facts,
  };
  return { item, blob, attached, findings } as Partial<Validated> as Validated;
}

/** An instance whose structure was checked while its bytes came in; what else was found is judged by grade. */
export function validateInstance(
  site: Site,
  channel: OutboundChannel,
  arrival: Id,
  facts: DicomFacts,
  blob: Pick<StagedBlob, "name" | "digest">,
  found: readonly DicomFinding[],
): ValidatedInstance {
  const { store, now } = site;
  const findings = graded(site, channel, found);
  const isHeld = findings.find(({ about }) => channel.validate.study[about] === "hold");
  const rules = channel.assemble ?? { by: ["studyUid"] };
  const item: Item = {
    id: store.newId(),
    kind: "instance",
    arrival,
    channel: channel.name,
    key: facts.sopInstanceUid,
    digest: store.tokens.of("digest", "", blob.digest),
    blob: blob.name,
    joins: joinsOf(store.tokens, rules, [facts.studyInstanceUid], facts.accessionNumber ? [facts.accessionNumber] : []),
    patients: facts.patientId ? [store.tokens.of("patient", "", facts.patientId)] : [],
    state: isHeld ? "held" : "waiting",
    code: isHeld?.code ?? null,
    reason: isHeld ? `found in the instance: ${findingText(isHeld)}` : null,
    since: now().toISOString(),
    record: null,
    facts,
  };
  return { item, findings: findings.map(findingText) } as Partial<ValidatedInstance> as ValidatedInstance;
}

/** What the channel wants to know of, counted; what it refuses is thrown. */
function graded(site: Site, channel: OutboundChannel, found: readonly DicomFinding[]): readonly DicomFinding[] {
  const grades = channel.validate.study;
  const findings = found.filter(({ about }) => grades[about] !== "skip");
  for (const { code } of findings) site.metrics.passed("validate", channel.name, code, 0);
  const refused = findings.find(({ about }) => grades[about] === "reject");
  if (refused?.about === "iod")
    throw new Fault("DICOM_MISMATCH", `the data set does not keep its SOP class: ${findingText(refused)}`);
  if (refused) throw new Fault("DICOM_INVALID", `the data set's text cannot be told for sure: ${findingText(refused)}`);
  return findings;
}

/** Code and tags; never a value. */
const findingText = ({ code, tags }: DicomFinding): string => `${code} ${tags.map(tagText).join(" ")}`;

const chunkBytes = 1024 * 1024;

/** One value as a stream of chunks that the cipher likes. */
export async function* chunks(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += chunkBytes) yield bytes.subarray(at, at + chunkBytes);
}
