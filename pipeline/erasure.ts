/**
 * A patient is erased (decision 30): the keys of all their ids, what the registry says of their documents, what merges say of them,
 * and what the registry was told of those.
 * Records and documents that a house keeps go by its retention.
 */
import { setImmediate as others } from "node:timers/promises";
import { Fault } from "../errors.ts";
import type { PatientId } from "../formats/command.ts";
import type { DocumentEntry } from "../formats/document-entry.ts";
import type { Change, EntryRow, Id, Store, Token } from "../store/store.ts";
import { withoutMerges } from "./merge.ts";
import type { Site } from "./site.ts";

/** What cannot be read any more, or could not be if it was confirmed. */
export type Erasure = {
  readonly isErased: boolean;
  readonly keys: number;
  readonly entries: number;
  readonly auditEntries: number;
};

/** Nobody has so many: entries that name two patients as one would lead from each to all. */
const maxTokens = 2_000;
const pageRows = 200;

/** DOCUMENT_UNKNOWN where nothing is kept of these ids, QUERY_INVALID where they lead to more than one patient can have. */
export async function erasePatient(
  { store, log }: Pick<Site, "store" | "log">,
  patientIds: readonly PatientId[],
  reason: string,
  isConfirmed: boolean,
): Promise<Erasure> {
  const { tokens, entries } = await reachOf(store, patientIds);
  const keys = tokens.flatMap((token) => store.patientKeys.of(token) ?? []);
  const told = await untold(store, tokens);
  if (keys.length + entries.length + told.length === 0)
    throw new Fault(
      "DOCUMENT_UNKNOWN",
      "nothing that can be erased is kept of these ids; name all that the patient has",
    );
  if (isConfirmed) {
    await store.patientKeys.erase(tokens, [
      // Those that are older than their patient's key are under the site's.
      ...entries.flatMap((id) => store.entries.remove(id)),
      ...store.entries.forget(tokens),
      ...store.merges.forget(tokens),
      ...told,
      ...store.audit.add({ event: "erasure", peer: "admin", count: entries.length, reason }),
    ]);
    log("admin.erased", { count: entries.length }, "warn");
  }
  const counting = store.audit.sealedUnder(keys);
  let counted = counting.next();
  for (; !counted.done; counted = counting.next()) await others();
  return { isErased: isConfirmed, keys: keys.length, entries: entries.length, auditEntries: counted.value };
}

/** Tokens of all ids that merges and registered entries say are of the same patient, and those entries. */
async function reachOf(
  store: Store,
  patientIds: readonly PatientId[],
): Promise<{ readonly tokens: readonly Token[]; readonly entries: readonly Id[] }> {
  const tokens = new Set<Token>();
  const entries = new Set<Id>();
  for (let named = patientIds; named.length > 0; ) {
    const fresh = store.merges.same(named.flatMap((id) => tokensOf(store, id))).filter((token) => !tokens.has(token));
    for (const token of fresh) tokens.add(token);
    if (tokens.size > maxTokens)
      throw new Fault("QUERY_INVALID", "these ids lead to more than one patient can have; look at what was registered");
    const rows: EntryRow[] = [];
    for await (const row of entriesOf(store, fresh)) rows.push(row);
    for (const { id } of rows) entries.add(id);
    named = rows.flatMap(({ entry }) => (entry as Pick<DocumentEntry, "patientIds">).patientIds);
  }
  return { tokens: [...tokens], entries: [...entries] };
}

/** Merges of these ids that the registry was told of: nobody reads them any more, and a recall does not tell them again. */
async function untold(store: Store, patients: readonly Token[]): Promise<readonly Change[]> {
  const [all, changes] = [new Set(patients), [] as Change[]];
  const isForgotten = (id: PatientId): boolean => tokensOf(store, id).some((token) => all.has(token));
  for (let after = ""; ; await others()) {
    const told = store.deliveries.told(after, pageRows);
    for (const each of told) {
      const payload = withoutMerges(each, isForgotten);
      if (payload !== undefined) changes.push(store.deliveries.mark(each.id, { payload }));
    }
    if (told.length < pageRows) return changes;
    after = told.at(-1)?.id ?? after;
  }
}

/** The registry and admissions name a patient with who gives the id, the audit log of a house and documents without. */
const tokensOf = ({ tokens }: Store, { root, extension }: PatientId): readonly Token[] => [
  tokens.of("patient", root, extension),
  tokens.of("patient", "", extension || root),
];

async function* entriesOf(store: Store, patients: readonly Token[]): AsyncGenerator<EntryRow> {
  const moment = store.entries.moment();
  for (let below: number | undefined; patients.length > 0; ) {
    const rows = store.entries.find("patient", patients, { moment, below, limit: pageRows });
    yield* rows.filter(({ isRemoved }) => !isRemoved);
    below = rows.at(-1)?.seq;
    if (rows.length < pageRows) return;
    await others();
  }
}
