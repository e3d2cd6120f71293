/** Patients as the registry knows them: by tokens of their ids. */
import type { PatientId } from "../formats/query.ts";
import type { Store, Token } from "../store/store.ts";

/** What an alias row says of itself, sealed. */
export type MergedIds = { readonly prior: PatientId; readonly surviving: PatientId };

export const tokenOf = (store: Store, { root, extension }: PatientId): Token =>
  store.tokens.of("patient", root, extension);
