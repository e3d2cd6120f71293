/** An entry as whoever asks is told of it. */
import { documentEntrySchema } from "../formats/document-entry.ts";
import type { Registered } from "../formats/query.ts";
import type { EntryRow, Store } from "../store/store.ts";
import { type MergedIds, tokenOf } from "./patients.ts";

/** As many ids as an entry may have. */
const maxIds = 512;

/** For one answer: entries as they were registered, with what became of each and every other id that its patient has or had. */
export function telling(store: Store): (row: EntryRow) => Registered {
  return ({ id, org, createdAt, manifestSha256, status, entry: kept }) => {
    const entry = documentEntrySchema.parse(kept);
    const others = store.merges.of(entry.patientIds.map((each) => tokenOf(store, each))).flatMap(({ facts }) => {
      const { prior, surviving } = facts as MergedIds;
      return [prior, surviving];
    });
    const known = [...entry.patientIds, ...others].map((each) => [`${each.root}^${each.extension}`, each] as const);
    const patientIds = [...new Map(known).values()].slice(0, maxIds);
    return {
      id,
      org,
      registeredAt: createdAt,
      manifestSha256,
      entry: { ...entry, patientIds, availabilityStatus: status },
    };
  };
}
