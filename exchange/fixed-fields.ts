/** What of an entry stays as it was registered (decision 0031). */
import { isDeepStrictEqual } from "node:util";
import type { DocumentEntry } from "../formats/document-entry.ts";

/** Whether a field may be changed: not what names the document, what its manifest and registration prove, or what it is found by. */
const mayChange: Readonly<Record<keyof DocumentEntry, boolean>> = {
  uniqueId: false,
  entryUuid: false,
  patientIds: false,
  form: true,
  classCode: true,
  typeCode: true,
  formatCode: true,
  practiceSettingCode: true,
  healthcareFacilityTypeCode: true,
  confidentialityCode: true,
  eventCodeList: true,
  creationTime: true,
  serviceStartTime: true,
  serviceStopTime: true,
  author: true,
  legalAuthenticator: true,
  title: true,
  languageCode: true,
  mimeType: false,
  hash: false,
  size: false,
  repositoryUniqueId: false,
  // What became of an entry is the registry's to say.
  availabilityStatus: false,
  referenceIdList: false,
  objectType: false,
  relatedDocuments: false,
  images: false,
};
const fixed = (Object.keys(mayChange) as (keyof DocumentEntry)[]).filter((name) => !mayChange[name]);

/** Fields that may not change, and that one entry has otherwise than the other. */
export const fixedFieldsOf = (one: DocumentEntry, other: DocumentEntry): readonly (keyof DocumentEntry)[] =>
  fixed.filter((name) => !isDeepStrictEqual(one[name], other[name]));
