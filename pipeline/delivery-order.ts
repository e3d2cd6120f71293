/** What keeps its order on its way to one system: everything of a patient, or (`delivery.order: none`) of one document and what corrects it. */
import type { StoredRecord, Token } from "../store/store.ts";
import type { Received, ReceivedFacts } from "./open.ts";
import type { Site } from "./site.ts";

/** Of one report: what it replaces or is added to, what that one does, and so on. */
const maxVersions = 100;

/** Deliveries of one system that have this in common follow one another. */
export function orderOf(site: Site, { record, facts }: Received): Token {
  const patient = site.config.delivery.order === "patient" ? record.patients[0] : undefined;
  return patient ?? firstOf(site, record, facts);
}

/** The document that a correction is in the end about, whether it is here or not. */
function firstOf({ store }: Site, { author, key }: StoredRecord, { entry }: ReceivedFacts): Token {
  let [first, related] = [key, entry.relatedDocuments];
  for (let version = 0; version < maxVersions; version += 1) {
    const before = related.find(({ type }) => type !== "XFRM");
    if (!before) break;
    first = store.tokens.of("document", "", before.uniqueId);
    const held = store.records.byKey(first).find((each) => each.origin === "received" && each.author === author);
    related = (held?.entry as ReceivedFacts | undefined)?.entry.relatedDocuments ?? [];
  }
  return first;
}
