/** What the journal tells a person: what is not done and why, and the whole way of one message. Nothing of a patient is in it. */
import { Fault } from "../errors.ts";
import type { ArrivalRow, Delivery, Found, Id, Item, Step, Store, StoredRecord } from "../store/store.ts";
import type { DocumentFacts } from "./validate.ts";

/** Rows of each state in one answer. */
export const maxListed = 1000;
const openItems = ["waiting", "held"] as const;
const openDeliveries = ["queued", "inflight", "ambiguous", "parked"] as const;
/** States of `?state=`; without it everything that is not done. */
export const listedStates = [...openItems, ...openDeliveries, "refused", "filtered"] as const;
export type ListedState = (typeof listedStates)[number];

/** `after`: the id of a delivery; those behind it. */
type Wanted = { readonly state?: ListedState | undefined; readonly after?: Id | undefined; readonly limit: number };

/**
 * What waits, is held, parked, queued, refused or (if asked for) filtered: why, since when, and its id; the oldest of each state.
 * `more` are the states of which there are others.
 */
export function listJournal(store: Store, { state, after, limit }: Wanted) {
  const wants = <S extends ListedState>(states: readonly S[]): readonly S[] =>
    states.filter((each) => state === undefined || each === state);
  const arrivals = state === "filtered" ? (["filtered"] as const) : wants(["refused"]);
  const more: ListedState[] = [];
  const first = <Row>(of: ListedState, rows: readonly Row[]): readonly Row[] => {
    if (rows.length > limit) more.push(of);
    return rows.slice(0, limit);
  };
  const upTo = limit + 1;
  return {
    items: wants(openItems)
      .flatMap((each) => first(each, store.items.matters({ state: each, limit: upTo })))
      .map(({ item, count }) => ({ ...itemLine(item), count })),
    deliveries: wants(openDeliveries)
      .flatMap((each) => first(each, store.deliveries.list({ state: each, after, limit: upTo })))
      .map(deliveryLine),
    refused: arrivals
      .flatMap((each) => first(each, store.arrivals.list({ state: each, limit: upTo })))
      .map(arrivalLine),
    missing: store.missing,
    more,
  };
}

const itemLine = ({ id, kind, channel, state, code, reason, since, joins, arrival, record }: Item) => {
  const study = joins.find((join) => join.startsWith("study:")) ?? null;
  return { id, kind, channel, state, code, reason, since, study, arrival, record };
};
const deliveryLine = (delivery: Delivery) => {
  const { id, kind, channel, destination, record, state, attempts, due, code, reason, createdAt } = delivery;
  const at = new Date(due).toISOString();
  return { id, kind, channel, destination, record, state, attempts, due: at, code, reason, createdAt };
};
const arrivalLine = ({ id, source, channel, controlId, sender, state, code, reason, receivedAt }: ArrivalRow) => {
  return { id, source, channel, controlId, sender, state, code, reason, receivedAt };
};

/** Everything that belongs to one message: ids of all its stages. */
export type Family = {
  readonly arrivals: readonly ArrivalRow[];
  readonly items: readonly Item[];
  readonly records: readonly StoredRecord[];
  readonly deliveries: readonly Delivery[];
};

/** Arrival, document, images, records and deliveries that belong to what an id, the end of one, or a control id names. */
export async function familyOf(store: Store, query: string): Promise<Family> {
  const found = await store.scans.find(query);
  const [first] = found;
  if (!first)
    throw new Fault("DOCUMENT_UNKNOWN", "nothing here has this id or control id; semrs journal list shows some");
  const families = found.map((each) => grow(store, each));
  const key = ({ arrivals, records, deliveries }: Family): string =>
    [...arrivals.map(({ id }) => id), ...records.map(({ id }) => id), ...deliveries.map(({ id }) => id)].sort()[0] ??
    "";
  if (new Set(families.map(key)).size > 1 && found.length > 1) {
    const ids = found
      .map(({ id }) => id)
      .slice(0, 5)
      .join(", ");
    throw new Fault("DOCUMENT_CONFLICT", `${found.length} things match; say which: ${ids}`);
  }
  return families[0] ?? grow(store, first);
}

const maxDeliveries = 1000;

function grow(store: Store, { kind, id }: Found): Family {
  const delivery = kind === "delivery" ? store.deliveries.find(id) : undefined;
  const item = kind === "item" ? store.items.find(id) : undefined;
  const seeds = item ? [item] : kind === "arrival" ? store.items.byArrival(id) : [];
  const recordIds = distinct([
    ...(kind === "record" ? [id] : []),
    ...seeds.map(({ record }) => record),
    ...(delivery ? [delivery.record] : []),
  ]);
  const items = [...seeds, ...recordIds.flatMap((record) => store.items.byRecord(record))];
  const arrivalIds = distinct([
    ...(kind === "arrival" ? [id] : []),
    ...items.filter((each) => each.kind === "document").map(({ arrival }) => arrival),
  ]);
  const deliveries = recordIds.flatMap((record) => store.deliveries.list({ record, limit: maxDeliveries }));
  return {
    arrivals: arrivalIds.flatMap((each) => store.arrivals.find(each) ?? []),
    items: [...new Map(items.map((each) => [each.id, each])).values()],
    records: recordIds.flatMap((each) => store.records.find(each) ?? []),
    deliveries: delivery && !deliveries.some((each) => each.id === id) ? [...deliveries, delivery] : deliveries,
  };
}

const distinct = (ids: readonly (Id | null)[]): readonly Id[] => [
  ...new Set(ids.filter((id): id is Id => id !== null)),
];

/** One timeline from source to the other house, with what is under way now. */
export async function trace(store: Store, query: string) {
  const family = await familyOf(store, query);
  const { arrivals, items, records, deliveries } = family;
  const subjects = [arrivals, items, records, deliveries].flatMap((rows) => rows.map(({ id }) => id));
  const arrived = arrivals.map(({ id, receivedAt, source, sender, controlId }): Step => {
    return {
      subject: id,
      at: receivedAt,
      station: "source",
      event: "received",
      peer: `${source} ${sender}`,
      detail: controlId,
    };
  });
  const images = items.filter(({ kind }) => kind === "instance");
  return {
    arrivals: arrivals.map(arrivalLine),
    documents: items
      .filter(({ kind }) => kind === "document")
      .map((item) => {
        const { messageType, entry } = item.facts as DocumentFacts;
        const retention = item.blob === "" ? { retention: "over" as const } : {};
        return { ...itemLine(item), form: messageType, sha256: entry.hash, bytes: entry.size, ...retention };
      }),
    instances: countBy(images),
    records: records.map((record) => recordLine(store, record)),
    deliveries: deliveries.map(deliveryLine),
    steps: [...arrived, ...store.steps.of(subjects)].sort((one, other) => one.at.localeCompare(other.at)),
  };
}

const countBy = (items: readonly Item[]): Readonly<Record<string, number>> => {
  const counts: Record<string, number> = {};
  for (const { state } of items) counts[state] = (counts[state] ?? 0) + 1;
  return counts;
};

/** A record without what it says of a patient. */
export function recordLine(
  store: Store,
  { id, channel, origin, author, state, code, parts, createdAt, manifestSha256, entry }: StoredRecord,
) {
  const receipts = store.records
    .evidence(id)
    .filter(({ kind }) => kind !== "request" && kind !== "response" && kind !== "push")
    .map(({ kind, from }) => ({ kind, from }));
  // Of an envelope that signs its document alone (semrs-2017).
  const unsigned = (entry as { profile?: string } | null)?.profile === "semrs-2017" ? { integrity: "none" } : {};
  return {
    id,
    channel,
    origin,
    author,
    state,
    code,
    parts: parts.length,
    createdAt,
    manifestSha256,
    receipts,
    ...unsigned,
  };
}
