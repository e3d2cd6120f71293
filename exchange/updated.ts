/** What an entry says is corrected (ITI-57), and what stays as it was registered (decision 0031). */
import { isDeepStrictEqual } from "node:util";
import { Fault } from "../errors.ts";
import type { DocumentEntry } from "../formats/document-entry.ts";
import type { Change, EntryRow, Store } from "../store/store.ts";
import { tokenOf } from "./patients.ts";
import { entryOf } from "./query-filters.ts";
import { checkSize, formOf, removed } from "./submission.ts";

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

/** The row says this from now on; METADATA_INVALID points (RFC 6901) to what may not change, and quotes none of it. */
export function updated(store: Store, row: EntryRow, entry: DocumentEntry): readonly Change[] {
  if (row.isRemoved) throw removed();
  checkSize(entry);
  const before = entryOf(row);
  const pointers = fixed
    .filter((name) => !isDeepStrictEqual(entry[name], before[name]))
    .map((name) => `/entry/${name}`);
  // A refusal's title is short: all of them and this.
  if (pointers.length > 0) throw new Fault("METADATA_INVALID", `not to be changed: ${pointers.join(" ")}`);
  const patients = entry.patientIds.map((id) => tokenOf(store, id));
  return store.entries.update(row.id, { form: formOf(entry), patients, entry });
}
