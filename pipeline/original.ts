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
import type { Relation } from "./relation.ts";
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
  /** The one of them that it does not state itself. */
  readonly relation?: Relation;
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
  const to = (original: string): Omit<Related, "finding"> => {
    const relation = { type, uniqueId: original };
    return { relatedDocuments: [...relatedDocuments, relation], relation };
  };
  if (parent !== null && parent !== uniqueId) return { ...to(parent), finding: null };
  const [only, other] = versions(store, joins, patients).filter((each) => each !== uniqueId);
  if (only === undefined) return { relatedDocuments, finding: "ORIGINAL_UNKNOWN" };
  // Nobody's report is withdrawn on a guess.
  if (other !== undefined) return { relatedDocuments, finding: "ORIGINAL_AMBIGUOUS" };
  return { ...to(only), finding: "ORIGINAL_MATCHED" };
}

/** Reports of the same case and patient that stand; those that share most. */
function versions(store: Store, joins: readonly string[], patients: Item["patients"]): readonly string[] {
  const same = new Set(store.merges.same(patients));
  const cases = new Set(joins.filter((join) => join.startsWith("case:")));
  const found = store.items
    .joined("document", [...cases])
    .filter((item) => item.patients.some((token) => same.has(token)));
  const shared = ({ joins: of }: Item): number => of.filter((join) => cases.has(join)).length;
  const reports = standing(store, found);
  const most = Math.max(0, ...reports.map(shared));
  return reports.filter((item) => shared(item) === most).map(uniqueIdOf);
}

/** Of those that one name means, which a HIS may keep for all versions of a report, and use anew: the last one that stands. */
export const namedOne = (store: Store, named: readonly Item[]): string | null => {
  const item = standing(store, named).at(-1) ?? named.at(-1);
  return item ? uniqueIdOf(item) : null;
};

/** Reports among these that are not cancelled, replaced by one of them, or added to another. */
function standing(store: Store, documents: readonly Item[]): readonly Item[] {
  const left = documents
    .filter(({ state }) => state !== "discarded")
    .filter(({ record }) => record === null || store.records.find(record)?.code !== cancelled)
    .filter(({ facts }) => (facts as DocumentFacts).event !== "addendum");
  const replaced = new Set(
    left.flatMap(({ facts }) => (facts as DocumentFacts).entry.relatedDocuments.map(({ uniqueId }) => uniqueId)),
  );
  return left.filter((item) => !replaced.has(uniqueIdOf(item)));
}

const uniqueIdOf = ({ facts }: Item): string => (facts as DocumentFacts).entry.uniqueId;
