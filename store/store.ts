/**
 * Where a site's bytes rest: contracts and their promises. `sqlite.ts` keeps them.
 *
 * - A `Change` is made by one of the contracts below and does nothing until `commit`. Changes committed together are
 *   applied together or not at all, and `commit` resolves only after fsync.
 * - Reads see everything whose `commit` has resolved.
 * - Whatever could name a patient is in a column sealed under the data folder's own key (`facts`, `payload`, `entry`,
 *   manifests), or is a keyed token. Nothing in the data folder reads as clear text.
 */
import type { Fault } from "../errors.ts";
import type { Alerts } from "./alerts.ts";
import type { AuditPruning } from "./audit-anchor.ts";
import type { AuditLog } from "./audit-log.ts";
import type { Believed } from "./believed.ts";
import type { Checks } from "./checks.ts";
import type { Commitments } from "./commitments.ts";
import type { Consents } from "./consents.ts";
import type { Deliveries } from "./delivery.ts";
import type { Emergencies } from "./emergencies.ts";
import type { Entries } from "./entry.ts";
import type { Items } from "./item.ts";
import type { Kept } from "./kept.ts";
import type { KeptArrivals } from "./kept-arrivals.ts";
import type { KeptItems } from "./kept-items.ts";
import type { Cursors } from "./keys.ts";
import type { Legacy } from "./legacy.ts";
import type { Merges } from "./merges.ts";
import type { Messages } from "./messages.ts";
import type { PatientKeys } from "./patient-keys.ts";
import type { Relations } from "./relations.ts";
import type { Reserve } from "./reserve.ts";
import type { Scans } from "./scans.ts";
import type { Search } from "./search.ts";
import type { SignedHeads } from "./signed-heads.ts";
import type { Steps } from "./steps.ts";
import type { Stops } from "./stops.ts";
import type { Studies } from "./studies.ts";
import type { Witnesses } from "./witnesses.ts";

export type { AuditBreak, AuditCheck, AuditHead, WitnessedHead } from "./audit-chain.ts";
export type { AuditEvent } from "./audit-events.ts";
export type { AuditEntry, Audited, AuditedPatient } from "./audit-log.ts";
export type { Deliveries, Delivery, DeliveryState, Except, Way } from "./delivery.ts";
export type { EntryRow, NewEntry, Slice, SubmissionRow } from "./entry.ts";
export type { Item, ItemState, Items } from "./item.ts";
export type { Found } from "./scans.ts";
export type { Step } from "./steps.ts";
export type { StudyRow } from "./studies.ts";

/** 32 lower-case hex digits, time-ordered: 48 bits of milliseconds, 80 random bits. */
export type Id = string;
/** A keyed digest that stands for a patient id, reference or document id (see `Tokens`). */
export type Token = string;
/** Name of a blob: HMAC of its digest under the folder's key, so it deduplicates here and confirms nothing elsewhere. */
export type BlobName = string;

declare const change: unique symbol;
export type Change = { readonly [change]: true };

/** One line of the accept journal: what was taken in (acknowledged, or refused and kept), and the SHA-256 (hex) of what arrived. */
export type Acceptance = { readonly id: Id; readonly digest: string };

export type Store = {
  /** Applies all changes in one transaction shared with other callers' (one fsync for all that arrived meanwhile). Rejects
   * with STORE_CONFLICT (a unique key exists; nothing of this commit was applied), STORE_FULL or STORE_DAMAGED.
   * `accepted` is appended to the accept journal, and fsynced at the same time as the commit, before this resolves. One that
   * `mayWait` waits a few turns of the event loop for others to share its group. */
  commit(changes: readonly Change[], accepted?: readonly Acceptance[], mayWait?: boolean): Promise<void>;
  /** Reads of one turn that see the same state, at little more than the cost of one. */
  reading<T>(read: () => T): T;
  /** The same as before: nothing was committed since, and reads say the same. NaN while a commit is under way. */
  version(): number;
  /** Resolves when a write or a sync has failed: nothing more is taken by this process, and only a new one may try again. */
  readonly failed: Promise<Fault>;
  newId(): Id;
  readonly tokens: Tokens;
  readonly cursors: Cursors;
  readonly blobs: Blobs;
  readonly arrivals: Arrivals;
  readonly items: Items;
  readonly studies: Studies;
  readonly commitments: Commitments;
  readonly records: Records;
  readonly deliveries: Deliveries;
  readonly messages: Messages;
  readonly entries: Entries;
  readonly merges: Merges;
  readonly relations: Relations;
  readonly consents: Consents;
  readonly emergencies: Emergencies;
  readonly legacy: Legacy;
  readonly steps: Steps;
  readonly alerts: Alerts;
  readonly audit: AuditLog;
  readonly auditPruning: AuditPruning;
  readonly patientKeys: PatientKeys;
  readonly witnesses: Witnesses;
  readonly signedHeads: SignedHeads;
  readonly stops: Stops;
  readonly believed: Believed;
  readonly search: Search;
  /** What the start found: acceptances the journal holds and the index lacks. Empty on a healthy store. */
  readonly missing: readonly Acceptance[];
  readonly scans: Scans;
  readonly checks: Checks;
  readonly kept: Kept;
  readonly keptArrivals: KeptArrivals;
  readonly keptItems: KeptItems;
  readonly reserve: Reserve;
  /** Finishes what was committed, closes files, releases the data folder's lock. */
  close(): Promise<void>;
};

export type Tokens = {
  /**
   * HMAC-SHA-256(key, label 00 system 00 value), with the key's version in front. `system` is who gives the value: of a patient's number
   * it is empty in items and records, which are compared without, and the root in the registry, merges and consents.
   */
  of(label: "patient" | "reference" | "document" | "message" | "digest", system: string, value: string): Token;
};

/** What opens a sealed blob and proves it. `whole`: sha256 is the digest; `segments`: segs and root are. */
export type BlobFacts = {
  /** Octets of clear text (the ciphertext has as many). */
  readonly size: number;
  /** SHA-256 of the clear text, hex; null in the segments form. */
  readonly sha256: string | null;
  /** SHA-256 of every mebibyte of clear text, concatenated; null in the whole form. */
  readonly segs: Uint8Array | null;
  /** The digest of record of a segmented part (see envelope/SPEC.md), hex; null in the whole form. */
  readonly root: string | null;
  readonly cek: Uint8Array;
  readonly nonce: Uint8Array;
  readonly tag: Uint8Array;
};

/** A blob on its way to the disk: what it is called is known. Nothing of it can be committed before it is durable. */
export type TakenBlob = {
  readonly name: BlobName;
  readonly digest: string;
  /** Resolves when its octets are on stable storage; STORE_FULL, or STORE_DAMAGED when the disk fails. */
  durable(): Promise<StagedBlob>;
  /** Nobody will commit it: the file of this copy goes. */
  drop(): Promise<void>;
};

/** A blob that is durable as a file but not yet in the index: commit `change` to keep it, or it is swept at next start. */
export type StagedBlob = {
  readonly name: BlobName;
  readonly digest: string;
  readonly change: Change;
  readonly fresh: boolean;
  /** Nobody will commit it, nor has: its file goes. */
  drop(): Promise<void>;
};

export type Blobs = {
  /**
   * Takes ciphertext in and copies it: a piece may be used again once the next is asked for. `facts` is called once the iterable
   * has ended. Up to 64 KiB go inline with the index row; larger
   * ones to a file whose name is durable already, and which is before this resolves. If the same digest is already here, the
   * copy is dropped and `fresh` is false. An iterable that throws leaves nothing behind.
   */
  put(cipher: AsyncIterable<Uint8Array>, facts: () => BlobFacts): Promise<StagedBlob>;
  /**
   * The same, resolved when the body has ended and is being written. `isNew` is asked once it has: true where nobody is known
   * to have put it before, so that it is not looked for. Where somebody has, its copy is in vain, and is to be dropped, or goes with the next sweep.
   */
  take(cipher: AsyncIterable<Uint8Array>, facts: () => BlobFacts, isNew?: () => boolean): Promise<TakenBlob>;
  /**
   * A body that never comes twice, up to 64 KiB, inline under a name that is an id: those that come together lie together, where
   * names made of digests are all over the index.
   */
  own(name: Id, cipher: Uint8Array, facts: BlobFacts): StagedBlob;
  facts(name: BlobName): BlobFacts;
  /** The ciphertext from an octet on (the first), in chunks of at most 1 MiB; STORE_DAMAGED when the file is short or missing. */
  read(name: BlobName, from?: number): AsyncIterable<Uint8Array>;
  /** Drops the index row; its file is among the next `dropped`, or goes with the next sweep. */
  drop(name: BlobName): Change;
  /** Files of rows that were to be dropped since this was asked last: nobody reads them for long. */
  dropped(): readonly string[];
  has(name: BlobName): boolean;
  /** Names in order, behind one of them. */
  names(after: BlobName, limit: number): readonly BlobName[];
  /** Whose blob it is: ids of arrivals, items and records, with the control id of an arrival. */
  usedBy(
    name: BlobName,
  ): readonly { readonly kind: "arrival" | "item" | "record"; readonly id: Id; readonly controlId: string }[];
};

export type ArrivalState = "accepted" | "done" | "filtered" | "refused";

/** One thing that arrived on a wire: the durable record of what was acknowledged and what became of it. */
export type ArrivalRow = {
  readonly id: Id;
  readonly source: string;
  readonly channel: string | null;
  readonly mediaType: string;
  readonly controlId: string;
  readonly sender: string;
  /** What makes a repetition: unique among arrivals of the last 24 h where not null. */
  readonly repetition: Token | null;
  /** Token of the SHA-256 of the bytes (`tokens.of("digest", "", hex)`). */
  readonly digest: Token;
  readonly blob: BlobName | null;
  readonly state: ArrivalState;
  readonly code: string | null;
  readonly reason: string | null;
  readonly receivedAt: string;
  /** Sealed at rest. */
  readonly facts: unknown;
};

export type Arrivals = {
  add(row: ArrivalRow): Change;
  settle(id: Id, patch: Partial<Pick<ArrivalRow, "state" | "code" | "reason" | "channel" | "blob" | "facts">>): Change;
  /** Frees a repetition token of more than 24 h ago. */
  forget(token: Token): Change;
  /** The same of a page of them, in their own order, behind one: `next` is where the page behind it begins, undefined where there is none. */
  forgetPage(after: Token, limit: number): { readonly changes: readonly Change[]; readonly next: Token | undefined };
  find(id: Id): ArrivalRow | undefined;
  byRepetition(token: Token): ArrivalRow | undefined;
  list(query: { readonly state?: ArrivalState; readonly after?: Id; readonly limit: number }): readonly ArrivalRow[];
};

export type RecordState = "stored" | "registered" | "opened" | "delivered";

/** What a repository keeps of one sealed record; the bytes are blobs, shared with the journal. */
export type StoredRecord = {
  /** The manifest's `message`. */
  readonly id: Id;
  readonly channel: string;
  /** `own`: sealed here; `received`: opened here, sealed elsewhere. */
  readonly origin: "own" | "received";
  readonly author: string;
  /** The author's manifest and detached signature, octet for octet (sealed at rest). */
  readonly manifest: Uint8Array;
  readonly signature: Uint8Array;
  readonly manifestSha256: string;
  /** Token of the document's uniqueId. */
  readonly key: Token;
  readonly parts: readonly { readonly n: number; readonly blob: BlobName }[];
  readonly patients: readonly Token[];
  readonly state: RecordState;
  readonly code: string | null;
  readonly reason: string | null;
  /** The document entry and what delivery needs (sealed at rest). */
  readonly entry: unknown;
  readonly createdAt: string;
};

/**
 * A receipt, or the signed manifest of an envelope: that asked for the record (`request`), brought it (`response`), or took it to
 * the house `from` on our own account (`push`).
 */
export type Evidence = {
  readonly kind: "stored" | "registered" | "delivered" | "request" | "response" | "push";
  readonly from: string;
  readonly receipt: Uint8Array;
  /** Whether other records have the very same one. */
  readonly isOfSeveral?: boolean;
};

export type Records = {
  /** `id` is unique. */
  add(record: StoredRecord): readonly Change[];
  mark(id: Id, patch: Partial<Pick<StoredRecord, "state" | "code" | "reason">>): Change;
  /** Marks a received record as delivered where each of its deliveries is, `last` set aside: it is marked in the same commit. */
  settle(id: Id, last: Id): Change;
  find(id: Id): StoredRecord | undefined;
  byKey(key: Token): readonly StoredRecord[];
  /** Fails with STORE_CONFLICT where another one than these has come under a key by then. */
  withNoOther(key: Token, ids: readonly Id[]): Change;
  byManifest(manifestSha256: string): StoredRecord | undefined;
  list(query: { readonly state?: RecordState; readonly limit: number }): readonly StoredRecord[];
  /** Keeps a signed receipt beside the record: one per (record, kind, from); a repetition changes nothing, but of `push` the last counts. */
  attach(id: Id, evidence: Evidence): readonly Change[];
  evidence(id: Id): readonly Evidence[];
};
