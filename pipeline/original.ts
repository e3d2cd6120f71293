/**
 * Which document of this house a replacement or an addendum is about: what it says itself, what its message says (TXA-13), or
 * else the one report of the same case. EEC documents have neither setId nor relatedDocument, and many a HIS sends no TXA-13.
 */
import { isMeaningful } from "../formats/accession.ts";
import type { CdaFacts } from "../formats/cda.ts";
import type { DocumentEntry } from "../formats/document-entry.ts";
import type { DocumentEvent } from "../formats/hl7.ts";
import type { Item, Store } from "../store/store.ts";
import { cancelled } from "./correction.ts";
import type { DocumentFacts } from "./validate.ts";

const relations: Partial<Record<DocumentEvent, "RPLC" | "APND">> = { replacement: "RPLC", addendum: "APND" };

/** Order numbers that one document is known by. */
const maxOrders = 64;

/** Joins of documents that are versions of one report: one setId, or else one form, custodian and order number. */
export function caseJoins({ tokens }: Store, cda: CdaFacts, orders: readonly string[]): readonly string[] {
  const join = (...parts: readonly string[]): string => `case:${tokens.of("reference", "case", parts.join("\n"))}`;
  if (cda.setId) return [join("set", cda.setId.root, cda.setId.extension)];
  const [keeper] = cda.custodian?.ids ?? [];
  if (!cda.form || !keeper) return [];
  const numbers = [...cda.orderIds.map(({ extension }) => extension), ...orders].map((number) => number.trim());
  return [...new Set(numbers.filter((number) => isMeaningful(number)))]
    .slice(0, maxOrders)
    .map((number) => join(cda.form ?? "", keeper.root, keeper.extension, number));
}

export type Related = {
  readonly relatedDocuments: DocumentEntry["relatedDocuments"];
  readonly finding: "ORIGINAL_MATCHED" | "ORIGINAL_AMBIGUOUS" | "ORIGINAL_UNKNOWN" | null;
};

/** The document's relations with the one that its event asks for; `parent` is the uniqueId that TXA-13 means. */
export function relatedOf(
  store: Store,
  { uniqueId, relatedDocuments }: DocumentEntry,
  { event, parent }: { readonly event: DocumentEvent; readonly parent: string | null },
  { joins, patients }: Pick<Item, "joins" | "patients">,
): Related {
  const type = relations[event];
  if (!type || relatedDocuments.some((each) => each.type === type)) return { relatedDocuments, finding: null };
  const to = (original: string): DocumentEntry["relatedDocuments"] => [
    ...relatedDocuments,
    { type, uniqueId: original },
  ];
  if (parent !== null && parent !== uniqueId) return { relatedDocuments: to(parent), finding: null };
  const [only, other] = versions(store, joins, patients).filter((each) => each !== uniqueId);
  if (only === undefined) return { relatedDocuments, finding: "ORIGINAL_UNKNOWN" };
  // Nobody's report is withdrawn on a guess.
  if (other !== undefined) return { relatedDocuments, finding: "ORIGINAL_AMBIGUOUS" };
  return { relatedDocuments: to(only), finding: "ORIGINAL_MATCHED" };
}

/** Reports of the same case and patient that stand: not cancelled, replaced, or added to another; those that share most. */
function versions(store: Store, joins: readonly string[], patients: Item["patients"]): readonly string[] {
  const same = new Set(store.merges.same(patients));
  const cases = new Set(joins.filter((join) => join.startsWith("case:")));
  const found = store.items
    .joined("document", [...cases])
    .filter((item) => item.state !== "discarded" && item.patients.some((token) => same.has(token)))
    .filter(({ record }) => record === null || store.records.find(record)?.code !== cancelled)
    .map((item) => ({
      facts: item.facts as DocumentFacts,
      shared: item.joins.filter((join) => cases.has(join)).length,
    }))
    .filter(({ facts }) => facts.event !== "addendum");
  const replaced = new Set(found.flatMap(({ facts }) => facts.entry.relatedDocuments.map((each) => each.uniqueId)));
  const standing = found.filter(({ facts }) => !replaced.has(facts.entry.uniqueId));
  const most = Math.max(0, ...standing.map(({ shared }) => shared));
  return standing.filter(({ shared }) => shared === most).map(({ facts }) => facts.entry.uniqueId);
}
