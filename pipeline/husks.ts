/** What stays of sealed facts when their retention is over: what it was and how large, and nothing of its patient, its author or its content. */
import type { DicomFacts } from "../formats/dicom.ts";
import type { DocumentEntry } from "../formats/document-entry.ts";
import type { Item, StoredRecord } from "../store/store.ts";
import type { ReceivedFacts } from "./open.ts";
import type { DocumentFacts } from "./validate.ts";

/** Which document it was and what it was like; nothing of its patient, its author or its content. */
const entryHusk = (entry: DocumentEntry): DocumentEntry => ({
  ...entry,
  patientIds: [],
  practiceSettingCode: null,
  eventCodeList: [],
  serviceStartTime: null,
  serviceStopTime: null,
  author: null,
  legalAuthenticator: null,
  title: null,
  referenceIdList: [],
  images: null,
});

/** What stays of a record's `entry`. */
export const recordHusk = ({ origin, entry }: StoredRecord): unknown => {
  if (origin === "own") return entryHusk(entry as DocumentEntry);
  const { header: _gone, ...facts } = entry as ReceivedFacts;
  return { ...facts, entry: entryHusk(facts.entry), instances: [], attachments: [] } satisfies ReceivedFacts;
};

/** What stays of the `facts` of a document or an instance. */
export function itemHusk({ kind, facts }: Item): unknown {
  if (kind === "document") {
    const { attachments: _gone, ...document } = facts as DocumentFacts;
    return { ...document, entry: entryHusk(document.entry), extensions: [] } satisfies DocumentFacts;
  }
  const instance = facts as DicomFacts;
  return { ...instance, patientId: null, accessionNumber: null, studyDate: null } satisfies DicomFacts;
}
