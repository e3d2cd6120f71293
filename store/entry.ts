/** The national index: what a registry keeps of each registered document. */
import type { Change, Id, Token } from "./store.ts";

export type EntryStatus = "approved" | "deprecated";

/** What is registered: tokens and facets in clear, everything else in the sealed `entry`. */
export type NewEntry = {
  readonly id: Id;
  /** The submission set it came in, by its sender's name of it. */
  readonly submission: Id;
  /** Who registered it. */
  readonly org: string;
  /** Token of uniqueId: STORE_CONFLICT when this organisation has registered it already. */
  readonly key: Token;
  /** Of one patient; it is sealed under the key of the first. */
  readonly patients: readonly Token[];
  /** Tokens of accession numbers and study UIDs. */
  readonly references: readonly Token[];
  /** Tokens of the uniqueIds that it replaces, appends or transforms. */
  readonly related: readonly Token[];
  /** EEC form (113 …) or `other`. */
  readonly form: string;
  /** When it was registered (ISO 8601). */
  readonly createdAt: string;
  readonly manifestSha256: string;
  readonly entry: unknown;
};

/** A row of the national index; `status` is that of the moment that was asked for. */
export type EntryRow = Omit<NewEntry, "submission" | "patients" | "references" | "related"> & {
  readonly status: EntryStatus;
  /** `entry` is null: it was removed, or its patient erased. */
  readonly isRemoved: boolean;
  /** The moment of its registration: rows are in this order. */
  readonly seq: number;
  /** Id of its set; null for what was registered before there were sets. */
  readonly submission: Id | null;
};

/** What was registered in one envelope. */
export type SubmissionRow = {
  readonly seq: number;
  readonly id: Id;
  readonly org: string;
  /** The sender's own name of it: one set of this name an organisation. */
  readonly name: Id;
  readonly createdAt: string;
};

/** What rows are found by. */
export type By = "document" | "patient" | "reference" | "related";

/** Rows that stood at a moment, newest first, from below one that was read before. */
export type Slice = { readonly moment: number; readonly below?: number | undefined; readonly limit: number };

export type Entries = {
  /** Before the entries that are of it; a second one of the same name changes nothing. */
  submit(row: Omit<SubmissionRow, "seq">, patients: readonly Token[]): readonly Change[];
  add(row: NewEntry): readonly Change[];
  /** From now on; once. */
  deprecate(id: Id): readonly Change[];
  /**
   * It says this from now on, whatever moment is asked for; what was removed, or its patient erased, stays so. `sealed`: under another
   * manifest, and when that was registered; STORE_CONFLICT where it is under a third one by then, or gone.
   */
  update(
    id: Id,
    says: Pick<NewEntry, "form" | "patients" | "entry"> & {
      readonly sealed?: Pick<NewEntry, "manifestSha256" | "createdAt"> & { readonly before: string };
    },
  ): readonly Change[];
  /** What it says is gone, whatever moment is asked for; that there was one, and whose, stays. */
  remove(id: Id): readonly Change[];
  /** Nothing that was registered so far is found by these patients any more, nor a patient by it. */
  forget(patients: readonly Token[]): readonly Change[];
  /** A document of this organisation is replaced: deprecated from now on, or as soon as it is registered. */
  replace(org: string, key: Token, at: string): readonly Change[];
  /** Of one id: one of each organisation that has registered it (decision 36). */
  byKey(key: Token): readonly EntryRow[];
  /** The latest moment: every registration and change so far, and no other, is at or before it. */
  moment(): number;
  find(by: By, tokens: readonly Token[], slice: Slice): readonly EntryRow[];
  /** Sets in which one of these patients has an entry. */
  submissions(patients: readonly Token[], slice: Slice): readonly SubmissionRow[];
  submission(id: Id): SubmissionRow | undefined;
  contents(submission: Id, slice: Slice): readonly EntryRow[];
  /**
   * The next `rows` of the small level of what entries are found by, moved to the large one; nothing where it holds less than
   * `least` and no sweep of it is under way. Call it again when it is committed.
   */
  settle(step: { readonly rows: number; readonly least: number }): readonly Change[];
  /** How many there are: a measurement compares it with what it has registered. */
  count(): number;
};
