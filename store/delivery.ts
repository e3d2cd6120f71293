/** Deliveries: what has to reach somebody, and what can be asked of those rows. */
import type { Change, Id, Token } from "./store.ts";

/** queued → inflight → delivered | parked (a person decides) | discarded; `ambiguous` after a crash or a lost answer. */
export type DeliveryState = "queued" | "inflight" | "ambiguous" | "delivered" | "parked" | "discarded";

const underWay: ReadonlySet<DeliveryState> = new Set(["queued", "inflight", "ambiguous"]);
/** Whether it has not ended and waits for no person. */
export const isUnderWay = ({ state }: Pick<Delivery, "state">): boolean => underWay.has(state);

export type Delivery = {
  readonly id: Id;
  readonly kind:
    | "register"
    | "change"
    | "push"
    | "notify"
    | "fetch"
    | "retrieve"
    | "identify"
    | "receipt"
    | "message"
    | "study";
  readonly channel: string;
  /** A system, or a partner. */
  readonly destination: string;
  /** Deliveries to one destination with the same key go one after the other, in order of `id`, but for fetches; null: no order. */
  readonly order: Token | null;
  readonly record: Id | null;
  readonly state: DeliveryState;
  readonly attempts: number;
  /** Milliseconds since 1970: not before. */
  readonly due: number;
  readonly code: string | null;
  readonly reason: string | null;
  readonly createdAt: string;
  /** Sealed at rest. */
  readonly payload: unknown;
};

/** What is of one kind and goes to one destination. */
export type Way = Pick<Delivery, "kind" | "destination">;
/** Deliveries that are not looked for: of these channels, with these ids. */
export type Except = { readonly channels?: readonly string[] | undefined; readonly ids?: readonly Id[] };
/** When its first delivery is due that is queued or ambiguous, and the first one behind now. */
export type WayDue = Way & { readonly due: number; readonly next: number | undefined };

export type Deliveries = {
  add(delivery: Delivery): Change;
  /** Adds it where this record is delivered, unless it is there. */
  addOnceDelivered(delivery: Delivery, record: Id): Change;
  /** `hasReached`: for good. */
  mark(
    id: Id,
    patch: Partial<Pick<Delivery, "state" | "attempts" | "due" | "code" | "reason" | "payload">> & {
      readonly hasReached?: boolean;
    },
  ): Change;
  /** On the wire from now on; nothing happens to one that is over meanwhile. */
  take(id: Id, attempts: number): Change;
  /** Fails with STORE_CONFLICT where one of these is on the wire. */
  unsent(ids: readonly Id[]): Change;
  /** Fails with STORE_CONFLICT where it is in another state by now. */
  is(id: Id, state: DeliveryState): Change;
  /** Fails with STORE_CONFLICT where a newer one of its record, its kind and its destination has not ended. */
  isLast(delivery: Pick<Delivery, "record" | "kind" | "destination" | "id">): Change;
  /** Which of these are on the wire. */
  inflight(ids: readonly Id[]): readonly Id[];
  /** Those that are due later than `now` are due so much earlier, but not before it; those after `latest` at once. */
  nearer(now: number, latest: number, back: number): Change;
  /** By id, which is a time, oldest first: `isOver` where it still says what was asked for and no record came of it. */
  asked(query: { readonly before: Id; readonly after: Id; readonly limit: number }): readonly {
    readonly id: Id;
    readonly isOver: boolean;
  }[];
  /** What these asked for goes, and whose they are; those that are not over stay whole. */
  forget(ids: readonly Id[]): readonly Change[];
  find(id: Id): Delivery | undefined;
  stateOf(id: Id): DeliveryState | undefined;
  /** Whether its destination may have got something of it: it was delivered, was not answered, or went out and was refused. */
  hasReached(id: Id): boolean;
  /** Fetches for one patient, newest first. */
  fetches(order: Token, limit: number): readonly Delivery[];
  /** Changes at the registry with this key, newest first. */
  changes(order: Token, limit: number): readonly Delivery[];
  /** Ways on which something is queued or ambiguous. */
  ways(now: number): readonly WayDue[];
  /** Queued and ambiguous ones of a way that are due, oldest first, none whose order key has an unfinished earlier one; but for `except`. */
  due(way: Way, now: number, limit: number, except?: Except): readonly Delivery[];
  /** The unfinished one that this one waits for: the oldest of its key and destination. */
  before(id: Id): Id | undefined;
  /** By id, which is a time, oldest first; those of a state behind one. */
  list(query: {
    readonly state?: DeliveryState;
    readonly record?: Id;
    readonly after?: Id | undefined;
    readonly limit: number;
  }): readonly Delivery[];
  /**
   * Registrations and changes that a registry has answered since a time (ISO 8601), oldest first, behind one; none that was made
   * anew since, none of a record whose retention is over, none that says no more of whom it is. `from`: an id before that of the first that may be among them.
   */
  answered(of: {
    readonly registry: string;
    readonly since: string;
    readonly from: Id;
    readonly limit: number;
  }): readonly Delivery[];
  /** Changes at the registry that are of no record and have ended, but for those whose patient was erased: by id, behind one. */
  told(after: Id, limit: number): readonly Delivery[];
  /** Parked ones of a kind, oldest first. */
  parked(kind: Delivery["kind"], limit: number): readonly Delivery[];
  /** Fetches that have not been asked, the next first. */
  waitingFetches(limit: number): readonly Delivery[];
};
