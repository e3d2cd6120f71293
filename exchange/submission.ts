/** A submission set and its entries as rows of the national index (ITI-42), and what they replace. */
import { Fault } from "../errors.ts";
import { type Command, eecForms } from "../formats/command.ts";
import type { Change, EntryRow, Store, Token } from "../store/store.ts";
import { fixedFieldsOf } from "./fixed-fields.ts";
import { tokenOf } from "./patients.ts";
import { entryOf } from "./query-filters.ts";

/** Octets of one entry, as JSON: whoever asks for a patient gets all that is registered of it. */
const maxEntryBytes = 256 * 1024;

type Registration = Command<"register">["entries"][number];

/** The set and those of its entries that are not registered yet: the second net of idempotency, under a new message id. */
export function submitted(
  store: Store,
  org: string,
  { submissionSet: name, entries }: Command<"register">,
  createdAt: string,
): readonly Change[] {
  const all = entries.map((registration) => ({
    ...registration,
    key: keyOf(store, registration.entry.uniqueId),
    known: knownOf(store, org, registration),
  }));
  const fresh = all.filter(({ known }) => !known);
  const anew = all.filter(({ known, manifestSha256 }) => known && known.manifestSha256 !== manifestSha256);
  const told = [...fresh, ...anew];
  if (new Set(told.map(({ key }) => key)).size < told.length)
    throw new Fault("DOCUMENT_CONFLICT", "one document is named twice; each is registered once");
  const patients = [...new Set(fresh.flatMap(({ entry }) => entry.patientIds.map((id) => tokenOf(store, id))))];
  return [
    ...(fresh.length > 0 ? store.entries.submit({ id: store.newId(), org, name, createdAt }, patients) : []),
    // First what they replace: it may be among them, be registered already, or come later.
    ...fresh.flatMap(({ entry }) =>
      replacedBy(store, entry).flatMap((key) => store.entries.replace(org, key, createdAt)),
    ),
    ...fresh.flatMap(({ entry, manifestSha256, key }) =>
      store.entries.add({
        id: store.newId(),
        submission: name,
        org,
        key,
        patients: entry.patientIds.map((id) => tokenOf(store, id)),
        references: entry.referenceIdList.map((reference) => store.tokens.of("reference", "", reference)),
        related: entry.relatedDocuments.map(({ uniqueId }) => keyOf(store, uniqueId)),
        form: formOf(entry),
        createdAt,
        manifestSha256,
        entry,
      }),
    ),
    ...anew.flatMap(({ known, ...registration }) => (known ? sealedAnew(store, known, registration, createdAt) : [])),
  ];
}

/** The same document under another manifest: its house had lost the record, and has sealed it anew (decision 43). */
function sealedAnew(
  store: Store,
  known: EntryRow,
  { entry: { images }, manifestSha256 }: Registration,
  createdAt: string,
): readonly Change[] {
  // What its house has corrected since stays; which images travel with it is what its manifest says.
  const entry = { ...entryOf(known), images };
  const patients = entry.patientIds.map((id) => tokenOf(store, id));
  const sealed = { manifestSha256, createdAt, before: known.manifestSha256 };
  return [
    ...store.entries.update(known.id, { form: known.form, patients, entry, sealed }),
    // Its house has a receipt that names the one before, which is in the index no more (`semrs log verify`).
    ...store.audit.add({
      event: "amendment",
      subject: known.manifestSha256,
      peer: known.org,
      manifest: manifestSha256,
    }),
  ];
}

/** TOO_LARGE for an entry that says more than any document has to say. */
export function checkSize(entry: Registration["entry"]): void {
  if (Buffer.byteLength(JSON.stringify(entry)) > maxEntryBytes)
    throw new Fault("TOO_LARGE", `an entry is over ${maxEntryBytes} octets; leave out what nobody looks for`);
}

/** What this house has registered under the id: what another one has is not its business, and not told (decision 36). */
function knownOf(store: Store, org: string, { entry, manifestSha256 }: Registration): EntryRow | undefined {
  if (entry.repositoryUniqueId !== org) {
    throw new Fault(
      "NOT_PERMITTED",
      "an entry names a repository that is not the sender's; register only what you hold",
    );
  }
  const known = store.entries.byKey(keyOf(store, entry.uniqueId)).find((each) => each.org === org);
  if (!known) {
    checkSize(entry);
    return undefined;
  }
  if (known.isRemoved) throw removed();
  // Octet for octet, of the same patient, and found by the same; the images beside it may be others.
  const others = fixedFieldsOf(entry, entryOf(known)).filter((name) => name !== "images");
  if (others.length === 0) return known;
  const differs =
    known.manifestSha256 === manifestSha256
      ? others.map((name) => `/entry/${name}`).join(" ")
      : `${known.manifestSha256}, and now ${manifestSha256}`;
  throw new Fault("DOCUMENT_CONFLICT", `a document with this id is registered with other content: ${differs}`);
}

/** What access rules and consents judge by, kept in clear. */
export const formOf = ({ form }: Registration["entry"]): string => (form && eecForms.includes(form) ? form : "other");

/** Its owner is told; to everybody else there is no such document. */
export const removed = (): Fault =>
  new Fault("DOCUMENT_REMOVED", "the entry of this document was removed; a new document needs an id of its own");

/** What stands for a document in the index. */
export const keyOf = (store: Store, uniqueId: string): Token => store.tokens.of("document", "", uniqueId);

const replacedBy = (store: Store, { relatedDocuments }: Registration["entry"]): readonly Token[] =>
  relatedDocuments.filter(({ type }) => type === "RPLC").map(({ uniqueId }) => keyOf(store, uniqueId));
