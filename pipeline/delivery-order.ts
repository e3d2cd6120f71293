/** What keeps its order on its way to one system: everything of a patient, or (`delivery.order: none`) of one document and what corrects it. */
import type { Change, StoredRecord, Token } from "../store/store.ts";
import type { Received, ReceivedFacts } from "./open.ts";
import { sealedBy } from "./remembered.ts";
import type { Site } from "./site.ts";

/** Of one report: what it replaces or is added to, what that one does, and so on. */
const maxVersions = 100;
const maxDeliveries = 100;
/** In the ledger: documents that are not here, with the record here that is in the end about them. No system has a name with a space. */
const ledger = "comes ahead of";

type Order = {
  readonly order: Token;
  /** To be committed with what has this order: STORE_CONFLICT where what has to have it, too, came in the same moment. */
  readonly changes: readonly Change[];
};

/** Deliveries of one system that have this in common follow one another: a correction what it is about, whichever number of the patient each names first and comes first. */
export function orderOf(site: Site, { record, facts }: Received): Order {
  const { store, config, now } = site;
  const { keys, held } = versionsOf(site, record, facts);
  const first = keys.at(-1) ?? record.key;
  const nameOf = (key: Token): string => sealedBy(record.author, key);
  const ahead = keys.map((key) => [nameOf(key), store.messages.takenUnder(ledger, nameOf(key))] as const);
  const ids = ahead.flatMap(([, those]) => those);
  const theirs = ids.flatMap((id) => store.deliveries.list({ record: id, limit: maxDeliveries }));
  const known = theirs.find((each) => each.order !== null)?.order;
  const [patient] = config.delivery.order === "patient" ? [...held.patients, ...record.patients] : [];
  const order = known ?? patient ?? first;
  const meanwhile = ahead.map(([name, those]) => store.messages.hasNoOtherUnder(ledger, name, those));
  const isNoted = (ahead.at(-1)?.[1].length ?? 0) > 0;
  if (first === held.key || isNoted) return { order, changes: meanwhile };
  const others = store.records.byKey(first).map(({ id }) => id);
  const noted = store.messages.took(ledger, `${nameOf(first)} ${record.id}`, now().toISOString());
  return { order, changes: [...meanwhile, store.records.withNoOther(first, others), noted] };
}

/** A document, what it is about, and so on to the one that all are in the end about, whether it is here or not; and the record of the first one that is. */
function versionsOf(
  { store }: Site,
  record: StoredRecord,
  { entry }: ReceivedFacts,
): { readonly keys: readonly Token[]; readonly held: StoredRecord } {
  const keys = [record.key];
  let [held, related] = [record, entry.relatedDocuments];
  for (let version = 0; version < maxVersions; version += 1) {
    const before = related.find(({ type }) => type !== "XFRM");
    if (!before) break;
    const key = store.tokens.of("document", "", before.uniqueId);
    keys.push(key);
    const known = store.records
      .byKey(key)
      .find(({ origin, author }) => origin === "received" && author === record.author);
    held = known ?? held;
    related = (known?.entry as ReceivedFacts | undefined)?.entry.relatedDocuments ?? [];
  }
  return { keys, held };
}
