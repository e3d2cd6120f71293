/** An entry as whoever asks is told of it. */
import { completed, documentEntrySchema } from "../formats/document-entry.ts";
import type { PatientId, Registered } from "../formats/query.ts";
import type { EntryRow, Store, Token } from "../store/store.ts";
import { type MergedIds, samePatients, tokenOf } from "./patients.ts";

/** As many ids as an entry may have. */
const maxIds = 512;

/** For one answer: entries as they were registered, with what became of each and every other id that its patient has or had. */
export function telling(store: Store): (row: EntryRow) => Registered {
  const same = samePatients(store);
  const merged = new Map<readonly Token[], readonly PatientId[]>();
  const mergedWith = (id: PatientId): readonly PatientId[] => {
    const token = tokenOf(store, id);
    const patient = same(token);
    const known = merged.get(patient) ?? store.merges.of([token]).flatMap(({ facts }) => pairOf(facts as MergedIds));
    merged.set(patient, known);
    return known;
  };
  return ({ id, org, createdAt, manifestSha256, status, entry: kept }) => {
    const entry = documentEntrySchema.parse(completed(kept));
    const all = [...entry.patientIds, ...entry.patientIds.flatMap(mergedWith)];
    const distinct = new Map(all.map((each) => [`${each.root}^${each.extension}`, each]));
    const patientIds = [...distinct.values()].slice(0, maxIds);
    return {
      id,
      org,
      registeredAt: createdAt,
      manifestSha256,
      entry: { ...entry, patientIds, availabilityStatus: status },
    };
  };
}

const pairOf = ({ prior, surviving }: MergedIds): readonly PatientId[] => [prior, surviving];
