/** Patients as the registry knows them: by tokens of their ids. */
import type { PatientId } from "../formats/query.ts";
import type { Store, Token } from "../store/store.ts";

/** What an alias row says of itself, sealed. */
export type MergedIds = { readonly prior: PatientId; readonly surviving: PatientId };

/** What stands for an id in the index: the number with who gives it. */
export const tokenOf = (store: Store, { root, extension }: PatientId): Token =>
  store.tokens.of("patient", root, extension);

/** All ids of one patient, followed once for one answer: many of its entries are of few patients. */
export function samePatients(store: Store): (token: Token) => readonly Token[] {
  const known = new Map<Token, readonly Token[]>();
  return (token) => {
    const before = known.get(token);
    if (before) return before;
    const same = store.merges.same([token]);
    for (const each of [token, ...same]) known.set(each, same);
    return same;
  };
}
