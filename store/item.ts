/** Documents and instances that were accepted here, until they travel. */
import type { BlobName, Change, Id, Token } from "./store.ts";

export type ItemState = "waiting" | "held" | "sealed" | "discarded";

/** A document or an instance that was accepted at this site, until it travels in a record. */
export type Item = {
  readonly id: Id;
  readonly kind: "document" | "instance";
  readonly arrival: Id;
  readonly channel: string;
  /** Token of the document id, or the SOP Instance UID; (kind, key, digest) is unique. */
  readonly key: string;
  readonly digest: Token;
  readonly blob: BlobName;
  /**
   * What it is found by: `study:<UID>` and `accession:<token>` join a document and its study; of a document `name:<token>` is what its
   * sender calls it, `case:<token>` what its versions share, `replaces:<token>` the one before it.
   */
  readonly joins: readonly string[];
  /** Tokens of the patient ids. */
  readonly patients: readonly Token[];
  readonly state: ItemState;
  readonly code: string | null;
  readonly reason: string | null;
  /** When it began to wait, or to be held (ISO 8601). */
  readonly since: string;
  readonly record: Id | null;
  /** Sealed at rest. */
  readonly facts: unknown;
};

export type Items = {
  add(item: Item): readonly Change[];
  mark(id: Id, patch: Partial<Pick<Item, "state" | "code" | "reason" | "record" | "since" | "digest">>): Change;
  /** What waits goes with a record; STORE_CONFLICT where a person or a note has decided otherwise of any of them meanwhile. */
  seal(ids: readonly Id[], record: Id): readonly Change[];
  /** Fails with STORE_CONFLICT where one of them is in another state by now. */
  are(ids: readonly Id[], state: ItemState): Change;
  /** What was discarded waits again, from now (ISO 8601); STORE_CONFLICT where its retention is over. */
  again(id: Id, since: string): readonly Change[];
  find(id: Id): Item | undefined;
  byKey(kind: Item["kind"], key: string): readonly Item[];
  byArrival(arrival: Id): readonly Item[];
  byRecord(record: Id): readonly Item[];
  /** Items of one kind that share at least one join. */
  joined(kind: Item["kind"], joins: readonly string[]): readonly Item[];
  list(query: { readonly state: ItemState; readonly kind?: Item["kind"]; readonly limit: number }): readonly Item[];
  /** The next instances that wait, behind one of them. */
  waiting(after: Id, limit: number): readonly Item[];
  /** As a person counts them: a document each, and instances of one study, channel and code together, the first of them. */
  matters(query: {
    readonly state: ItemState;
    readonly limit: number;
  }): readonly { readonly item: Item; readonly count: number }[];
};
