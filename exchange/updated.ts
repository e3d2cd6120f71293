/** What an entry says is corrected (ITI-57), and what stays as it was registered (decision 0031). */
import { Fault } from "../errors.ts";
import type { DocumentEntry } from "../formats/document-entry.ts";
import type { Change, EntryRow, Store } from "../store/store.ts";
import { fixedFieldsOf } from "./fixed-fields.ts";
import { tokenOf } from "./patients.ts";
import { entryOf } from "./query-filters.ts";
import { checkSize, formOf, removed } from "./submission.ts";

/** The row says this from now on; METADATA_INVALID points (RFC 6901) to what may not change, and quotes none of it. */
export function updated(store: Store, row: EntryRow, entry: DocumentEntry): readonly Change[] {
  if (row.isRemoved) throw removed();
  checkSize(entry);
  const pointers = fixedFieldsOf(entry, entryOf(row)).map((name) => `/entry/${name}`);
  // A refusal's title is short: all of them and this.
  if (pointers.length > 0) throw new Fault("METADATA_INVALID", `not to be changed: ${pointers.join(" ")}`);
  const patients = entry.patientIds.map((id) => tokenOf(store, id));
  return store.entries.update(row.id, { form: formOf(entry), patients, entry });
}
