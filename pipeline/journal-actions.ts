/** What a person may do to what the journal lists; each act is a step with its reason, committed with what it changes. */
import { codeOf, Fault } from "../errors.ts";
import type { BlobName, Change, Delivery, DeliveryState, Id, Item } from "../store/store.ts";
import { letGo, replaces } from "./assemble.ts";
import { clearPieces } from "./clear.ts";
import { familyOf } from "./journal.ts";
import { released } from "./patient.ts";
import { conflict, goneBefore, matterOf, replacing } from "./replacement.ts";
import { newDelivery } from "./route.ts";
import { type Site, step } from "./site.ts";

/** How the corridors are told that something goes on. */
export type Releases = {
  /** A held item waits again. */
  look(item: Item): void;
  /** A message is taken through its channel again. */
  again(arrival: Id): Promise<void>;
};

/** `count`: of how many instances of one study it was said. */
export type Acted = { readonly id: Id; readonly state: string; readonly count: number };

/**
 * A held document, or the instances of a study that are held for the same reason, go back to wait and are looked at; a
 * parked delivery is due now. `replace`: corrected instances stand for those that were kept before.
 */
export async function release(
  site: Site,
  releases: Releases,
  query: string,
  reason: string,
  replace = false,
): Promise<Acted> {
  const { store, now } = site;
  const subject = await subjectOf(site, query);
  const told = [
    step(site, subject.id, "admin", "released", { detail: reason }),
    ...acted(site, "release", subject, reason),
  ];
  if (subject.kind === "item" && subject.item.state === "held") {
    const { id } = subject;
    const held = matterOf(site, subject.item);
    const { changes, waiting } = replace ? replacing(site, held, reason) : releasing(site, held, reason);
    await decide(site, id, [
      // What was discarded or let go meanwhile is not brought back.
      store.items.are(
        held.map((item) => item.id),
        "held",
      ),
      ...changes,
      ...acted(site, "release", subject, reason, held.length),
    ]);
    for (const item of waiting) releases.look(item);
    return done(site, "admin.released", id, "waiting", reason, waiting.length);
  }
  if (subject.kind === "delivery" && isOpen(subject.delivery)) {
    const { id } = subject;
    await decide(site, id, [
      store.deliveries.is(id, subject.delivery.state),
      store.deliveries.mark(id, {
        state: "queued",
        due: now().getTime(),
        code: null,
        reason: null,
        ...(subject.delivery.kind === "identify" ? { payload: released(subject.delivery.payload) } : {}),
      }),
      ...told,
    ]);
    site.wake();
    return done(site, "admin.released", id, "queued", reason);
  }
  throw isShredded(subject) ? over("nothing left to release") : nothing("held, parked or queued");
}

/** Ends what is held, waits or is parked, for good. */
export async function discard(site: Site, query: string, reason: string): Promise<Acted> {
  const { store } = site;
  const subject = await subjectOf(site, query);
  const ended = { state: "discarded", reason } as const;
  if (subject.kind === "item" && (subject.item.state === "held" || subject.item.state === "waiting")) {
    const items = matterOf(site, subject.item);
    await decide(site, subject.id, [
      // What has left meanwhile is not discarded.
      store.items.are(
        items.map(({ id }) => id),
        subject.item.state,
      ),
      ...items.flatMap(({ id }) => [
        store.items.mark(id, ended),
        step(site, id, "admin", "discarded", { detail: reason }),
      ]),
      ...acted(site, "discard", subject, reason, items.length),
    ]);
    return done(site, "admin.discarded", subject.id, "discarded", reason, items.length);
  }
  if (subject.kind === "delivery" && isOpen(subject.delivery))
    await decide(site, subject.id, [
      store.deliveries.is(subject.id, subject.delivery.state),
      store.deliveries.mark(subject.id, ended),
      step(site, subject.id, "admin", "discarded", { detail: reason }),
      ...acted(site, "discard", subject, reason),
    ]);
  else throw nothing("held, waiting, parked or queued");
  return done(site, "admin.discarded", subject.id, "discarded", reason);
}

/** A delivery that ended is made anew; a message that was refused or filtered goes through its channel again. */
export async function resend(site: Site, releases: Releases, query: string, reason: string): Promise<Acted> {
  const { store } = site;
  const subject = await subjectOf(site, query);
  const told = [
    step(site, subject.id, "admin", "resent", { detail: reason }),
    ...acted(site, "resend", subject, reason),
  ];
  if (subject.kind === "arrival" && resendable.has(subject.state)) {
    await store.commit(told);
    await releases.again(subject.id);
    return done(site, "admin.resent", subject.id, store.arrivals.find(subject.id)?.state ?? "", reason);
  }
  if (subject.kind === "delivery" && ended.has(subject.delivery.state)) {
    const { kind, channel, destination, record, order, payload } = subject.delivery;
    if (isOver(site, subject.delivery)) throw over("nothing left to send");
    const anew = { ...newDelivery(site, kind, channel, destination), record, order, payload: again(payload) };
    // Two people, or one who asks twice, have it sent again once; one that is parked could be released besides.
    const changes = [
      store.deliveries.isLast(subject.delivery),
      ...(subject.delivery.state === "parked"
        ? [store.deliveries.is(subject.id, "parked"), store.deliveries.mark(subject.id, { state: "discarded", reason })]
        : []),
      store.deliveries.add(anew),
      ...told,
    ];
    await decide(site, subject.id, changes, onItsWay);
    site.wake();
    return done(site, "admin.resent", anew.id, "queued", reason);
  }
  if (isShredded(subject)) throw over("nothing left to send");
  throw wasDiscarded(site, subject) ? notTakenBack : nothing("refused, filtered, delivered, parked or discarded");
}

/** The clear bytes of an arrival or item: an audited act. */
export async function reveal(
  site: Site,
  query: string,
  reason: string,
): Promise<{ id: Id; body: AsyncIterable<Uint8Array> }> {
  const { store, log } = site;
  const subject = await subjectOf(site, query);
  const blob = subject.kind === "item" ? subject.item.blob : subject.kind === "arrival" ? subject.blob : null;
  if (!blob)
    throw new Fault(
      "DOCUMENT_UNKNOWN",
      "this has no payload of its own, or its retention is over; name the arrival, document or instance",
    );
  await store.commit([
    step(site, subject.id, "admin", "revealed", { detail: reason }),
    ...acted(site, "read", subject, reason),
  ]);
  log("admin.revealed", { message: subject.id, reason }, "warn");
  return { id: subject.id, body: clearPieces(site, blob) };
}

/** Keeps what a person decides; STORE_CONFLICT where what it is about has changed since it was looked at. */
async function decide({ store }: Site, id: Id, changes: readonly Change[], changed = changedSince): Promise<void> {
  try {
    await store.commit(changes);
  } catch (cause) {
    if (codeOf(cause) !== "STORE_CONFLICT") throw cause;
    throw new Fault(
      "STORE_CONFLICT",
      `${changed}, and nothing was changed: semrs journal show ${id} tells where it is; decide again`,
      { cause },
    );
  }
}
const changedSince = "some of this left, or was decided about, in the same moment";
const onItsWay = "what came of it later is still on its way there";

/** What a person did, and why: whoever has the token of the admin port. */
const acted = (
  { store }: Site,
  event: "release" | "discard" | "resend" | "read",
  { id }: Subject,
  reason: string,
  count = 1,
): readonly Change[] => store.audit.add({ event, subject: id, peer: "admin", reason, count });

/** What one query names, exactly one thing: of a family, the one whose id it is. */
type Subject =
  | { readonly kind: "arrival"; readonly id: Id; readonly state: string; readonly blob: BlobName | null }
  | { readonly kind: "item"; readonly id: Id; readonly item: Item }
  | { readonly kind: "delivery"; readonly id: Id; readonly delivery: Delivery };

async function subjectOf(site: Site, query: string): Promise<Subject> {
  const { arrivals, items, deliveries } = await familyOf(site.store, query);
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

/** What it is about was shredded, or its patient erased. A retrieval that has brought its record says nothing of it any more, and finds it here. */
function isOver({ store }: Site, { kind, state, record, payload }: Delivery): boolean {
  if (record !== null) return store.records.find(record)?.parts.length === 0;
  return payload === null && (kind === "fetch" || kind === "change" || (kind === "retrieve" && state === "discarded"));
}

/** A document or an instance whose retention is over. */
const isShredded = (subject: Subject): boolean => subject.kind === "item" && subject.item.blob === "";
const over = (what: string): Fault =>
  new Fault("DOCUMENT_UNKNOWN", `its retention is over, or its patient was erased: there is ${what}`);

const resendable: ReadonlySet<string> = new Set(["refused", "filtered"]);
const ended: ReadonlySet<DeliveryState> = new Set(["delivered", "parked", "discarded"]);
const isOpen = ({ state }: Delivery): boolean => state === "parked" || state === "queued" || state === "ambiguous";
const again = (payload: unknown): unknown => ({ ...((payload ?? {}) as object), again: true });

function done({ log }: Site, event: `admin.${string}`, id: Id, state: string, reason: string, count = 1): Acted {
  log(event, { message: id, reason, ...(count > 1 ? { count } : {}) }, "warn");
  return { id, state, count };
}

/** They wait again, from now; what was held for its patient or for being late goes on in spite of it. */
function releasing(site: Site, held: readonly Item[], reason: string) {
  const { store, now } = site;
  if (held.some(({ code }) => code === conflict))
    throw new Fault(
      "DICOM_CONFLICT",
      "these have other bytes under UIDs that were kept before: release --replace puts them in their place, discard drops them",
    );
  const since = now().toISOString();
  const waiting = held.map((item): Item => {
    const follows = item.kind === "instance" && goneBefore(site, item).length > 0;
    const code = overruled.has(item.code ?? "") ? letGo : follows ? replaces : null;
    return { ...item, state: "waiting", code, reason: null, since };
  });
  const changes = waiting.flatMap(({ id, state, code }) => [
    store.items.mark(id, { state, code, reason: null, since }),
    step(site, id, "admin", "released", { detail: reason }),
  ]);
  return { changes, waiting };
}

const overruled: ReadonlySet<string> = new Set(["PATIENT_MISMATCH", "STUDY_LATE"]);

/** A document or an instance, named by itself or by its message. */
const wasDiscarded = ({ store }: Site, subject: Subject): boolean =>
  (subject.kind === "item" ? [subject.item] : subject.kind === "arrival" ? store.items.byArrival(subject.id) : []).some(
    ({ state }) => state === "discarded",
  );
const notTakenBack = new Fault(
  "DOCUMENT_UNKNOWN",
  "it was discarded: its sender has to send it again, a HIS under a new control id (MSH-10), since the same message gets the same answer and is not looked at",
);

const nothing = (states: string): Fault =>
  new Fault("DOCUMENT_UNKNOWN", `what has this id is not ${states}; semrs journal list shows what is`);
