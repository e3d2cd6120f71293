/** HL7 v2: messages read as bytes, the documents in them, answers and messages that are built. */
export { decoderOf, isReadable } from "./charset.ts";
export { type AckCode, type AckError, acksOf, buildAck } from "./hl7-ack.ts";
export { buildBatchAnswer, isBatch, readBatch } from "./hl7-batch.ts";
export { buildMdm, type MdmDraft } from "./hl7-build.ts";
export {
  documentEvent,
  documentsIn,
  type EmbeddedDocument,
  embeddedDocuments,
  payloadlessFrame,
} from "./hl7-documents.ts";
export { type DocumentEvent, mdmEvent } from "./hl7-events.ts";
export {
  escapeText,
  fieldsOf,
  findingsOf,
  hl7Time,
  identifiersIn,
  type MessageFacts,
  type PatientIdentifier,
  patientIdentifiers,
  readMsh,
  readMshLine,
  type Segment,
  type Separators,
  segments,
  unescapeText,
} from "./hl7-message.ts";
