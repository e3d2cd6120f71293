/**
 * Corrections travel (decision 8): what was cancelled is not sealed, or deprecated at the registry and told to every house
 * that has it; what was replaced is told to those who have the one before. Everything is a delivery, committed with the
 * message's acknowledgement or with the record that replaces.
 */
import type { DocumentEntry } from "../formats/document-entry.ts";
import type { DocumentName } from "../formats/hl7-txa.ts";
import type { Change, Delivery, Id, Item, ItemState, StoredRecord, Token } from "../store/store.ts";
import { isCancelled, meeting, remembered } from "./cancellations.ts";
import type { Sent } from "./delivery.ts";
import { wasUnanswered } from "./delivery-decisions.ts";
import type { Notice } from "./notices.ts";
import { push } from "./push.ts";
import { newDelivery } from "./route.ts";
import type { Sealed } from "./seal.ts";
import { type Site, step } from "./site.ts";
import type { DocumentFacts } from "./validate.ts";

/** Code of what was cancelled, and of a cancellation whose report has not come yet. */
export const cancelled = "CANCELLED";
export const cancelledAhead = "CANCELLED_AHEAD";

/** How a system's own name of a document (TXA-12) is kept with the document's item. */
export const nameJoin = ({ store }: Site, system: string, { written }: DocumentName): string =>
  `name:${store.tokens.of("document", system, written)}`;

/** Documents of this house that a system means by a name of its own, or by the document's id. */
export function documentsNamed(site: Site, system: string, name: DocumentName): readonly Item[] {
  const { items, tokens } = site.store;
  const byId = name.uniqueIds.flatMap((id) => items.byKey("document", tokens.of("document", "", id)));
  const all = [...byId, ...items.joined("document", [nameJoin(site, system, name)])];
  return [...new Map(all.map((item) => [item.id, item])).values()];
}

/** A report is cancelled: before it was sealed, after, or before it came at all. */
export function cancel(
  site: Site,
  system: string,
  name: DocumentName,
): { readonly changes: readonly Change[]; readonly code: string } {
  const { store } = site;
  const documents = documentsNamed(site, system, name).filter(({ state }) => state !== "discarded");
  // Of a report that is here its id is remembered and not its name, under which another one may come.
  const keys =
    documents.length > 0
      ? documents.map(({ key }) => key)
      : [...name.uniqueIds.map((id) => store.tokens.of("document", "", id)), nameJoin(site, system, name)];
  const changes = documents.flatMap((item) =>
    item.state === "sealed"
      ? withdraw(site, item)
      : // What has left meanwhile is withdrawn: the message is judged once more.
        ended(site, item.id, item.state),
  );
  const code = documents.length === 0 ? cancelledAhead : cancelled;
  return { changes: [...keys.map((key) => remembered(site, key)), ...changes], code };
}

const ended = (site: Site, id: Id, state: ItemState): readonly Change[] => [
  site.store.items.are([id], state),
  site.store.items.mark(id, { state: "discarded", code: cancelled, reason: "cancelled before it was sealed" }),
  step(site, id, "assemble", "discarded", { code: cancelled }),
];

/** After it was sealed: its entry and those of its addenda are deprecated, and who has it is told. */
function withdraw(site: Site, document: Item): readonly Change[] {
  const { store, config } = site;
  const instances = store.items.joined("instance", document.joins);
  const records = [...new Set([document, ...instances].map(({ record }) => record))]
    .map((id) => (id === null ? undefined : store.records.find(id)))
    .filter((record): record is StoredRecord => record !== undefined && isOf(document, record))
    // Cancelled again: everybody has been told.
    .filter(({ code }) => code !== cancelled);
  return records.flatMap((record) => [
    store.records.mark(record.id, { code: cancelled, reason: "its report was cancelled" }),
    step(site, record.id, "route", "cancelled", { code: cancelled }),
    ...(isForRegistry(site, record)
      ? [
          store.deliveries.add({
            ...newDelivery(site, "change", record.channel, config.registryPartner),
            record: record.id,
          }),
        ]
      : []),
    ...(record.id === document.record
      ? [
          ...endedPushes(site, openPushes(site, record.id)),
          // Who is handed it while this is being committed has to be told: the message is judged once more.
          store.steps.withNoOther(record.id, "released", store.steps.peers(record.id, "released")),
          ...notices(site, "cancel", record, record.id),
        ]
      : []),
  ]);
}

const maxDeliveries = 1000;

/** What is pushed alone, or to nobody, has no entry that could change, or be named. */
const isForRegistry = ({ store }: Site, { id: record, state }: StoredRecord): boolean =>
  state === "registered" ||
  store.deliveries
    .list({ record, limit: maxDeliveries })
    .some((each) => each.kind === "register" && each.state !== "discarded");

/** Pushes of a record that have not ended: a partner may have got one that was tried and not answered. */
const openPushes = ({ store }: Site, record: Id): readonly Delivery[] =>
  store.deliveries
    .list({ record, limit: maxDeliveries })
    .filter(({ kind, state }) => kind === "push" && state !== "delivered" && state !== "discarded");

/** Pushes of a record that a person ended, and that a partner may have got. */
const endedUnanswered = ({ store }: Site, record: Id): readonly Delivery[] =>
  store.deliveries
    .list({ record, limit: maxDeliveries })
    .filter((push) => push.kind === "push" && push.state === "discarded" && wasUnanswered(store, push));

/** What is not on the wire yet does not go out any more; where it is by now, its house has to be told: the message is judged once more. */
function endedPushes({ store: { deliveries } }: Site, pushes: readonly Delivery[]): readonly Change[] {
  const ids = pushes.filter(({ state }) => state !== "inflight").map(({ id }) => id);
  const reason = "its report was cancelled";
  return [
    deliveries.unsent(ids),
    ...ids.map((id) => deliveries.mark(id, { state: "discarded", code: cancelled, reason })),
  ];
}

/** Houses that were told, or will be, that a record replaces another; with `push`, or that are pushed it. */
const noticesOf = ({ store }: Site, record: Id, besides?: "push"): readonly string[] =>
  store.deliveries
    .list({ record, limit: maxDeliveries })
    .filter(({ kind, payload }) => kind === besides || (kind === "notify" && (payload as Notice).action === "replace"))
    .map(({ destination }) => destination);

/** Documents of this house that replace another one of it. */
const replacing = ({ store }: Site, key: Token): readonly Item[] =>
  store.items.joined("document", [replacesJoin(key)]).filter(({ state }) => state === "sealed");

/** A document by what it replaces. */
export const replacesJoin = (key: Token): string => `replaces:${key}`;

/** A house is about to be handed a document that was replaced since it asked: it is told of that as well, before it gets anything. */
export async function tellReplacedSince(site: Site, key: Token): Promise<void> {
  const missing = replacedSince(site, key, (org, id) => noticesOf(site, id).includes(org));
  if (missing.length === 0) return;
  await site.store.commit(missing);
  site.wake();
}

/** A push; of what was replaced before it began, its house is told where it is not pushed what replaces it as well. */
export async function pushTold(site: Site, delivery: Delivery): Promise<Sent> {
  const { destination, record } = delivery;
  const sent = await push(site, delivery);
  const key = sent.ended || record === null ? undefined : site.store.records.find(record)?.key;
  if (key === undefined) return sent;
  const isTold = (org: string, id: Id): boolean => org !== destination || noticesOf(site, id, "push").includes(org);
  return { ...sent, changes: [...sent.changes, ...replacedSince(site, key, isTold)] };
}

const replacedSince = (site: Site, key: Token, isTold: (org: string, by: Id) => boolean): readonly Change[] =>
  replacing(site, key).flatMap(({ record: id, facts }) => {
    const record = id === null ? undefined : site.store.records.find(id);
    if (id === null || record?.code !== null || !isForRegistry(site, record)) return [];
    return replacementNotices(site, id, (facts as DocumentFacts).entry, (org) => isTold(org, id));
  });

/** A cancellation that was judged beside its report: that is not sealed. */
export async function endIfCancelled(site: Site, { id, key, joins }: Item): Promise<boolean> {
  const names = [key, ...joins.filter((join) => join.startsWith("name:"))];
  if (!isCancelled(site, names) || site.store.items.find(id)?.state !== "waiting") return false;
  await site.store.commit([...meeting(site, key, names.slice(1)), ...ended(site, id, "waiting")]);
  return true;
}

/** The document's own record, or an addendum to it. */
const isOf = ({ record, facts }: Item, { id, entry }: StoredRecord): boolean =>
  id === record ||
  (entry as DocumentEntry).relatedDocuments.some(
    ({ type, uniqueId }) => type === "APND" && uniqueId === (facts as DocumentFacts).entry.uniqueId,
  );

/** A sealed record replaces others of this house: every house that has one of those is told of it. */
const replacementNotices = (
  site: Site,
  id: Id,
  entry: DocumentEntry,
  isTold?: (org: string) => boolean,
): readonly Change[] => replacedBy(site, entry).flatMap((old) => notices(site, "replace", old, id, isTold));

const replacedBy = ({ store }: Site, { relatedDocuments }: DocumentEntry): readonly StoredRecord[] =>
  relatedDocuments
    .filter(({ type }) => type === "RPLC")
    .flatMap(({ uniqueId }) => store.records.byKey(store.tokens.of("document", "", uniqueId)))
    .filter(({ origin }) => origin === "own");

/** What is committed with a record: notices, and STORE_CONFLICT where a house that none of them is for gets what it replaces meanwhile. */
export function noticesWith(
  site: Site,
  { id, entry, channel }: Pick<Sealed, "id" | "entry" | "channel">,
): readonly Change[] {
  if (!channel.route.includes("repository")) return [];
  const { steps, deliveries } = site.store;
  const since = replacedBy(site, entry).flatMap(({ id: old }) => {
    const untried = openPushes(site, old).filter(({ attempts }) => attempts === 0);
    return [
      steps.withNoOther(old, "released", steps.peers(old, "released")),
      deliveries.unsent(untried.map((push) => push.id)),
    ];
  });
  return [...since, ...replacementNotices(site, id, entry)];
}

/** One notice for each house that retrieved, was pushed, or receipted the record. */
function notices(
  site: Site,
  action: Notice["action"],
  of: StoredRecord,
  record: Id,
  isTold = (_org: string): boolean => false,
): readonly Change[] {
  const { store, config } = site;
  const released = store.steps.peers(of.id, "released");
  const receipted = store.records
    .evidence(of.id)
    .filter(({ kind }) => kind !== "registered")
    .map(({ from }) => from);
  const tried = [
    ...openPushes(site, of.id).filter(({ attempts }) => attempts > 0),
    ...endedUnanswered(site, of.id),
  ].map(({ destination }) => destination);
  const houses = [...new Set([...released, ...receipted, ...tried])].filter(
    (org) => org !== "" && org !== config.site && !isTold(org),
  );
  const payload: Notice = { action, uniqueId: (of.entry as DocumentEntry).uniqueId, manifestSha256: of.manifestSha256 };
  return houses.map((org) =>
    store.deliveries.add({ ...newDelivery(site, "notify", of.channel, org), record, payload }),
  );
}
