/** What a person may do to what the journal lists; each act is a step with its reason, committed with what it changes. */
import { openCipher } from "../envelope/index.ts";
import { Fault } from "../errors.ts";
import type { BlobName, Delivery, DeliveryState, Id, Item } from "../store/store.ts";
import { familyOf } from "./journal.ts";
import { released } from "./patient.ts";
import { newDelivery } from "./route.ts";
import { type Site, step } from "./site.ts";

/** How the corridors are told that something goes on. */
export type Releases = {
  /** A held item waits again. */
  look(item: Item): void;
  /** A message is taken through its channel again. */
  again(arrival: Id): Promise<void>;
};

export type Acted = { readonly id: Id; readonly state: string };

/** A held item goes back to wait and is looked at; a parked delivery is due now. */
export async function release(site: Site, releases: Releases, query: string, reason: string): Promise<Acted> {
  const { store, now } = site;
  const subject = subjectOf(site, query);
  const told = step(site, subject.id, "admin", "released", { detail: reason });
  if (subject.kind === "item" && subject.item.state === "held") {
    const { id } = subject;
    await store.commit([
      store.items.mark(id, { state: "waiting", code: null, reason: null, since: now().toISOString() }),
      told,
    ]);
    releases.look({ ...subject.item, state: "waiting" });
    return done(site, "admin.released", id, "waiting", reason);
  }
  if (subject.kind === "delivery" && isOpen(subject.delivery)) {
    const { id } = subject;
    await store.commit([
      store.deliveries.mark(id, {
        state: "queued",
        due: now().getTime(),
        code: null,
        reason: null,
        ...(subject.delivery.kind === "identify" ? { payload: released(subject.delivery.payload) } : {}),
      }),
      told,
    ]);
    site.wake();
    return done(site, "admin.released", id, "queued", reason);
  }
  throw nothing("held, parked or queued");
}

/** Ends what is held, waits or is parked, for good. */
export async function discard(site: Site, query: string, reason: string): Promise<Acted> {
  const { store } = site;
  const subject = subjectOf(site, query);
  const told = step(site, subject.id, "admin", "discarded", { detail: reason });
  const ended = { state: "discarded", reason } as const;
  if (subject.kind === "item" && (subject.item.state === "held" || subject.item.state === "waiting"))
    await store.commit([store.items.mark(subject.id, ended), told]);
  else if (subject.kind === "delivery" && isOpen(subject.delivery))
    await store.commit([store.deliveries.mark(subject.id, ended), told]);
  else throw nothing("held, waiting, parked or queued");
  return done(site, "admin.discarded", subject.id, "discarded", reason);
}

/** A delivery that ended is made anew; a message that was refused or filtered goes through its channel again. */
export async function resend(site: Site, releases: Releases, query: string, reason: string): Promise<Acted> {
  const { store } = site;
  const subject = subjectOf(site, query);
  const told = step(site, subject.id, "admin", "resent", { detail: reason });
  if (subject.kind === "arrival" && resendable.has(subject.state)) {
    await store.commit([told]);
    await releases.again(subject.id);
    return done(site, "admin.resent", subject.id, store.arrivals.find(subject.id)?.state ?? "", reason);
  }
  if (subject.kind === "delivery" && ended.has(subject.delivery.state)) {
    const { kind, channel, destination, record, order, payload } = subject.delivery;
    const anew = { ...newDelivery(site, kind, channel, destination), record, order, payload: again(payload) };
    await store.commit([store.deliveries.add(anew), told]);
    site.wake();
    return done(site, "admin.resent", anew.id, "queued", reason);
  }
  throw nothing("refused, filtered, delivered, parked or discarded");
}

/** The clear bytes of an arrival or item: an audited act. */
export async function reveal(
  site: Site,
  query: string,
  reason: string,
): Promise<{ id: Id; body: AsyncIterable<Uint8Array> }> {
  const { store, log } = site;
  const subject = subjectOf(site, query);
  const blob = subject.kind === "item" ? subject.item.blob : subject.kind === "arrival" ? subject.blob : null;
  if (!blob)
    throw new Fault("DOCUMENT_UNKNOWN", "this has no payload of its own; name the arrival, document or instance");
  await store.commit([step(site, subject.id, "admin", "revealed", { detail: reason })]);
  log("admin.revealed", { message: subject.id, reason }, "warn");
  return { id: subject.id, body: clear(site, blob) };
}

const clear = ({ store }: Site, blob: BlobName): AsyncIterable<Uint8Array> =>
  openCipher(store.blobs.read(blob), store.blobs.facts(blob));

/** What one query names, exactly one thing: of a family, the one whose id it is. */
type Subject =
  | { readonly kind: "arrival"; readonly id: Id; readonly state: string; readonly blob: BlobName | null }
  | { readonly kind: "item"; readonly id: Id; readonly item: Item }
  | { readonly kind: "delivery"; readonly id: Id; readonly delivery: Delivery };

function subjectOf(site: Site, query: string): Subject {
  const { arrivals, items, deliveries } = familyOf(site.store, query);
  const is = ({ id }: { id: Id }): boolean => id === query || id.endsWith(query);
  const item = items.find(is);
  if (item) return { kind: "item", id: item.id, item };
  const delivery = deliveries.find(is);
  if (delivery) return { kind: "delivery", id: delivery.id, delivery };
  const arrival = arrivals.find((each) => is(each) || each.controlId === query);
  if (arrival) return { kind: "arrival", id: arrival.id, state: arrival.state, blob: arrival.blob };
  throw new Fault(
    "DOCUMENT_UNKNOWN",
    "name an arrival, a document, an instance or a delivery; a record has none of its own",
  );
}

const resendable: ReadonlySet<string> = new Set(["refused", "filtered"]);
const ended: ReadonlySet<DeliveryState> = new Set(["delivered", "parked", "discarded"]);
const isOpen = ({ state }: Delivery): boolean => state === "parked" || state === "queued" || state === "ambiguous";
const again = (payload: unknown): unknown => ({ ...((payload ?? {}) as object), again: true });

function done({ log }: Site, event: `admin.${string}`, id: Id, state: string, reason: string): Acted {
  log(event, { message: id, reason }, "warn");
  return { id, state };
}

const nothing = (states: string): Fault =>
  new Fault("DOCUMENT_UNKNOWN", `what has this id is not ${states}; semrs journal list shows what is`);
