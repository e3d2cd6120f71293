/** What the author of a record that this house has says of it later (decision 8): HIS B gets its cancellation, or the record that replaces it. */
import { codeOf, Fault } from "../errors.ts";
import type { Command } from "../formats/command.ts";
import type { Change, Delivery, Id, StoredRecord, Token } from "../store/store.ts";
import { cancelled } from "./correction.ts";
import { wasUnanswered } from "./delivery-decisions.ts";
import type { RetrievePayload } from "./fetch.ts";
import type { ReceivedFacts } from "./open.ts";
import { identified } from "./patient.ts";
import { ledgers, sealedBy } from "./remembered.ts";
import { replaced } from "./replacement.ts";
import { newDelivery } from "./route.ts";
import { type Site, step } from "./site.ts";

const maxDeliveries = 100;
/** How often a correction is tried to be kept while something comes, or begins, ahead of it. */
const maxLooks = 8;
/** Of one report: what replaces it, what replaces that, and so on. */
const maxVersions = 100;
/** Retrievals that are looked at for the one of a document that is replaced. */
const [maxUnderWay, maxLooked] = [1_000, 2_000];

/** Keeps what a correction asks for in one commit with its receipt. Only what its sender sealed is corrected. */
export async function receiveCorrection(
  site: Site,
  org: string,
  { uniqueId, by }: Command<"correction">,
  changes: readonly Change[],
): Promise<void> {
  const { store, now } = site;
  // Pushed and retrieved records have manifests of their own; an author has one document under one id.
  const key = store.tokens.of("document", "", uniqueId);
  const correct = (held: readonly StoredRecord[]): readonly Change[] =>
    held
      .filter(({ code }) => by !== null || code !== cancelled)
      .flatMap((record) => (by ? replacedBy(site, org, record, by) : cancel(site, record)));
  const commit = async (looks = 1): Promise<readonly StoredRecord[]> => {
    const all = store.records.byKey(key);
    const held = all.filter((each) => each.origin === "received" && each.author === org);
    // What replaces it follows it.
    if (by && held.length === 0 && isComing(site, org, uniqueId))
      throw new Fault("PEER_BUSY", "what this replaces is on its way here; tell it again once it is here");
    // What else is on its way goes no further than this house.
    const remembered =
      by === null || held.length === 0 ? [store.messages.took(ledger, sealedBy(org, key), now().toISOString())] : [];
    // What is kept ahead of this has not read it.
    const isAll = store.records.withNoOther(
      key,
      all.map(({ id }) => id),
    );
    try {
      await store.commit([...changes, ...remembered, isAll, ...correct(held)]);
      return held;
    } catch (thrown) {
      if (codeOf(thrown) !== "STORE_CONFLICT" || looks === maxLooks) throw thrown;
      return await commit(looks + 1);
    }
  };
  const held = await commit();
  site.log(by ? "open.replaced" : "open.cancelled", { peer: org, message: held[0]?.id ?? "", count: held.length });
  site.wake();
}

const ledger = ledgers.withdrawn;

/** Whether an author has cancelled a document, or replaced it before it was here. */
export const isWithdrawn = ({ store }: Site, org: string, key: Token): boolean =>
  store.messages.hasTaken(ledger, sealedBy(org, key));

/** Fails with STORE_CONFLICT where it was withdrawn by the time this is committed. */
export const isNotWithdrawn = ({ store }: Site, org: string, key: Token): Change =>
  store.messages.hasNotTaken(ledger, sealedBy(org, key));

/** A HIS that has the document, may have it, or is getting it, gets the cancellation after it; what nobody has yet, or was given up before it was sent, ends. */
function cancel(site: Site, record: StoredRecord): readonly Change[] {
  const { store } = site;
  const all = store.deliveries.list({ record: record.id, limit: maxDeliveries });
  const reason = "cancelled by its author";
  const isEnded = (delivery: Delivery): boolean =>
    delivery.kind === "identify"
      ? delivery.state !== "delivered" && delivery.state !== "discarded"
      : isGivenUp(site, record, delivery);
  const deliveries = all.filter((each) => !isEnded(each));
  return [
    store.records.mark(record.id, { code: cancelled, reason }),
    step(site, record.id, "open", "cancelled", { peer: record.author, code: cancelled }),
    ...all.filter(isEnded).flatMap(({ id, state }) => [
      // One that ends ahead of this has begun what is to be cancelled, too.
      store.deliveries.is(id, state),
      store.deliveries.mark(id, { state: "discarded", code: cancelled, reason }),
    ]),
    // Once a system, however often a person has sent it there.
    ...new Map(
      deliveries
        .filter(({ kind, payload }) => kind === "message" && !isCancellation(payload))
        .filter((delivery) => delivery.state !== "discarded" || wasUnanswered(store, delivery))
        .map((delivery) => [delivery.destination, delivery]),
    )
      .values()
      .map((delivery) => cancellationOf(site, record.id, delivery)),
  ];
}

/**
 * Why a system does not get a report any more, one that waited, that it refused before or is sent once more: it is cancelled, or the system
 * has what replaces it; and no cancellation of what it was never sent.
 */
export function overtakenAt(site: Site, { code, id, author, key }: StoredRecord, delivery: Delivery) {
  const { store } = site;
  const others =
    code === cancelled
      ? store.deliveries
          .list({ record: id, limit: maxDeliveries })
          .filter((each) => each.kind === "message" && each.destination === delivery.destination)
      : [];
  const told = others.filter(({ payload }) => isCancellation(payload));
  const reports = others.filter(({ payload }) => !isCancellation(payload));
  if (isCancellation(delivery.payload))
    return told.length === 1 && !reports.some(({ id: report }) => store.deliveries.hasReached(report))
      ? { code: cancelled, reason: "the system was never sent what it cancels" }
      : undefined;
  // One that was sent and not answered may be there, and its cancellation follows it.
  if (
    code === cancelled &&
    (told.some(({ state }) => state === "delivered") || !store.deliveries.hasReached(delivery.id))
  )
    return { code: cancelled, reason: "its author has cancelled it" };
  return store.messages.hasTaken(replacedAt(delivery), sealedBy(author, key))
    ? { code: replaced, reason: "its author has replaced it, and the system has what replaces it" }
    : undefined;
}

/** Why a system does not get the images of a report any more: it was cancelled before any of them was sent there. */
export const cancelledBefore = (site: Site, record: StoredRecord, delivery: Delivery) =>
  isOfCancelled(site, record) && !mayHave(site, record, delivery)
    ? { code: cancelled, reason: "its author has cancelled it" }
    : undefined;

/** Cancelled itself, or what follows a report that was. */
function isOfCancelled({ store }: Site, { code, author, entry }: StoredRecord): boolean {
  const { appends } = (entry ?? {}) as Partial<ReceivedFacts>;
  const reports = appends ? store.records.byKey(store.tokens.of("document", "", appends)) : [];
  return code === cancelled || reports.some((each) => each.author === author && each.code === cancelled);
}

/** In the delivery ledger: an instance of a record that a system has taken. */
export const instanceTaken = ({ id }: StoredRecord, sopInstanceUid: string): string => `${id} ${sopInstanceUid}`;

const hasSome = ({ store }: Site, record: StoredRecord, { destination }: Delivery): boolean =>
  ((record.entry as ReceivedFacts | null)?.instances ?? []).some(({ sopInstanceUid }) =>
    store.messages.hasTaken(destination, instanceTaken(record, sopInstanceUid)),
  );

/** Whether a system may have a report, or some of its images. */
const mayHave = (site: Site, record: StoredRecord, delivery: Delivery): boolean =>
  site.store.deliveries.hasReached(delivery.id) || (delivery.kind === "study" && hasSome(site, record, delivery));

/** Whether a report, or its images, is parked and was never sent, why ever it was not. */
const isGivenUp = (site: Site, record: StoredRecord, delivery: Delivery): boolean =>
  (delivery.kind === "message" || delivery.kind === "study") &&
  delivery.state === "parked" &&
  !mayHave(site, record, delivery);

/** In the delivery ledger: what a system has the replacement of. */
const replacedAt = ({ destination }: Delivery): string => `replaced ${destination}`;

/** A system has got a report: what that replaces, and what that one replaced, does not go there after it. */
export const replacedWith = (site: Site, record: StoredRecord, delivery: Delivery): readonly Change[] =>
  isCancellation(delivery.payload)
    ? []
    : versionsBefore(site, record).map((key) =>
        site.store.messages.took(replacedAt(delivery), sealedBy(record.author, key), site.now().toISOString()),
      );

/** What a report replaces, what that one replaced, and so on. */
function versionsBefore({ store }: Site, record: StoredRecord): readonly Token[] {
  const keys = new Set([record.key]);
  // A set that grows while it is gone through: each is looked at once.
  for (const key of keys)
    for (const held of store.records.byKey(key)) {
      if (held.author !== record.author || keys.size > maxVersions) continue;
      const { entry } = (held.entry ?? {}) as Partial<ReceivedFacts>;
      for (const { type, uniqueId } of entry?.relatedDocuments ?? [])
        if (type === "RPLC") keys.add(store.tokens.of("document", "", uniqueId));
    }
  keys.delete(record.key);
  return [...keys];
}

/**
 * A report ends since a system has what replaces it, which came first and could not say what this one replaces: that does not go there any more
 * either, and a system that may have it is told that it is over.
 */
export function passedOver(site: Site, record: StoredRecord, delivery: Delivery, code: string): readonly Change[] {
  const { store } = site;
  if (code !== replaced) return [];
  const isTold = (key: Token): boolean => store.messages.hasTaken(replacedAt(delivery), sealedBy(record.author, key));
  const standing = versionsBefore(site, record)
    .filter((key) => !isTold(key))
    .flatMap((key) => store.records.byKey(key))
    .filter((held) => held.author === record.author && held.code !== cancelled)
    .filter(({ id }) =>
      store.deliveries
        .list({ record: id, limit: maxDeliveries })
        .some(
          (each) =>
            each.destination === delivery.destination &&
            each.kind === "message" &&
            store.deliveries.hasReached(each.id),
        ),
    );
  return [
    ...replacedWith(site, record, delivery),
    ...standing.map(({ id, channel }) => cancellationOf(site, id, { ...delivery, channel })),
  ];
}

/** What tells a system of a cancellation. */
const cancellationOf = (
  site: Site,
  record: Id,
  { channel, destination, order }: Pick<Delivery, "channel" | "destination" | "order">,
): Change =>
  site.store.deliveries.add({
    ...newDelivery(site, "message", channel, destination),
    record,
    order,
    payload: { isCancellation: true },
  });

/** What a report replaces at a system: of what it says, and of what that replaced, the first that the system may have; what it says where that is none. */
export function replacedThere({ store }: Site, { author }: StoredRecord, { destination }: Delivery, says: string) {
  let uniqueId = says;
  for (let version = 0; version < maxVersions; version += 1) {
    const key = store.tokens.of("document", "", uniqueId);
    const held = store.records.byKey(key).find((each) => each.origin === "received" && each.author === author);
    if (!held) break;
    const sent = { id: held.id, record: held.id, kind: "message", destination } as const;
    if (store.messages.hasTaken(destination, key) || wasUnanswered(store, sent)) return uniqueId;
    const before = ((held.entry ?? {}) as Partial<ReceivedFacts>).entry?.relatedDocuments;
    const replaces = before?.find(({ type }) => type === "RPLC");
    if (!replaces) break;
    uniqueId = replaces.uniqueId;
  }
  return says;
}

/** Whether a message delivery tells of a cancellation. */
export const isCancellation = (payload: unknown): boolean =>
  (payload as { isCancellation?: true } | null)?.isCancellation === true;

/** The record that replaces is asked for as an entry of the registry would be, for the patient whose it was. */
function replacedBy(
  site: Site,
  org: string,
  record: StoredRecord,
  { entry, manifestSha256 }: NonNullable<Command<"correction">["by"]>,
): readonly Change[] {
  const { store, now } = site;
  if (store.messages.hasTaken(ledgers.retrieval, sealedBy(org, manifestSha256))) return [];
  const at = now().toISOString();
  const registered = { id: store.newId(), org, registeredAt: at, manifestSha256, entry };
  const payload: RetrievePayload = { registered, admission: identified(site, record.id)?.admission ?? null };
  // What is added to it, and the registry names meanwhile, is asked for after it.
  const order = store.tokens.of("document", "", entry.uniqueId);
  return [
    store.deliveries.add({ ...newDelivery(site, "retrieve", record.channel, org), order, payload }),
    store.messages.took(ledgers.retrieval, sealedBy(org, manifestSha256), at),
    step(site, record.id, "open", "replaced", { peer: org }),
  ];
}

/** Whether a document is being asked for. */
function isComing({ store: { deliveries } }: Site, org: string, document: string): boolean {
  const underWay = deliveries.list({ state: "inflight", limit: maxUnderWay });
  const waiting = deliveries.due({ kind: "retrieve", destination: org }, Number.MAX_SAFE_INTEGER, maxLooked);
  return [...underWay, ...waiting].some(({ kind, payload }) => {
    if (kind !== "retrieve") return false;
    const { registered } = (payload ?? {}) as Partial<RetrievePayload>;
    return registered?.org === org && registered.entry.uniqueId === document;
  });
}
