/** What keeps its order on its way to one system: everything of a patient, or (`delivery.order: none`) of one document and what corrects it. */
import type { StoredRecord, Token } from "../store/store.ts";
import type { Received, ReceivedFacts } from "./open.ts";
import type { Site } from "./site.ts";

/** Of one report: what it replaces or is added to, what that one does, and so on. */
const maxVersions = 100;

/** Deliveries of one system that have this in common follow one another: a correction what it is about, whichever number of the patient each names first. */
export function orderOf(site: Site, { record, facts }: Received): Token {
  const { first, held } = firstOf(site, record, facts);
  const [patient] = site.config.delivery.order === "patient" ? [...held.patients, ...record.patients] : [];
  return patient ?? first;
}

/** The document that a correction is in the end about, whether it is here or not, and the record of the first one that is. */
function firstOf(
  { store }: Site,
  record: StoredRecord,
  { entry }: ReceivedFacts,
): { first: Token; held: StoredRecord } {
  let [first, held, related] = [record.key, record, entry.relatedDocuments];
  for (let version = 0; version < maxVersions; version += 1) {
    const before = related.find(({ type }) => type !== "XFRM");
    if (!before) break;
    first = store.tokens.of("document", "", before.uniqueId);
    const known = store.records
      .byKey(first)
      .find(({ origin, author }) => origin === "received" && author === record.author);
    held = known ?? held;
    related = (known?.entry as ReceivedFacts | undefined)?.entry.relatedDocuments ?? [];
  }
  return { first, held };
}
