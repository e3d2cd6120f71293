/** What the delivery loop asks of those that send: one delivery, or several of a kind in one request. */
import type { AuditEntry, Change, Delivery, Id, StagedBlob } from "../store/store.ts";
import type { Site } from "./site.ts";

/** What to commit together with a delivery's success, and what is told of it. */
export type Sent = {
  readonly changes: readonly Change[];
  /** What these keep: gone where they cannot be committed. */
  readonly bodies?: readonly StagedBlob[];
  /** What happened, and to which record where the delivery has none of its own. */
  readonly event: string;
  readonly subject?: Id;
  /** What the other side answered. */
  readonly answer?: string;
  /** What else the audit log keeps of it. */
  readonly audit?: Pick<AuditEntry, "patients" | "manifest" | "count">;
  /** How it ended where it was not delivered: there was nothing left to send. */
  readonly ended?: { readonly state: "discarded"; readonly code: string; readonly reason: string };
};
/** `onTheWire` is called before the first octet of what `saysWhenSent`: it rejects when it is not to be sent any more. */
export type Send = (site: Site, delivery: Delivery, onTheWire: () => Promise<void>) => Promise<Sent>;
/** Sends several deliveries of one kind to one destination, all or none of them, however often: it is told once. `turn`: of the loop. */
export type SendTogether = (
  site: Site,
  deliveries: readonly Delivery[],
  turn: () => Promise<void>,
) => Promise<readonly Sent[]>;

/** Every kind is sent alone, or together with others of its kind. */
export type Together = Partial<Record<Delivery["kind"], SendTogether>>;
export type Alone<T extends Together> = Readonly<Record<Exclude<Delivery["kind"], keyof T>, Send>>;
