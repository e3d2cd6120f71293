/** The national index: what a registry keeps of each registered document. */
import type { Change, Id, Token } from "./store.ts";

export type EntryStatus = "approved" | "deprecated";

/** A row of the national index: tokens and facets in clear, everything else in the sealed `entry`. */
export type EntryRow = {
  readonly id: Id;
  /** Who registered it. */
  readonly org: string;
  /** Token of uniqueId: unique. */
  readonly key: Token;
  readonly patients: readonly Token[];
  /** Tokens of accession numbers and study UIDs. */
  readonly references: readonly Token[];
  /** EEC form (113 …) or `other`. */
  readonly form: string;
  readonly status: EntryStatus;
  /** When it was registered (ISO 8601). */
  readonly createdAt: string;
  readonly manifestSha256: string;
  readonly entry: unknown;
};

export type Entries = {
  add(row: EntryRow): readonly Change[];
  status(id: Id, status: EntryStatus): Change;
  byKey(key: Token): EntryRow | undefined;
  /** Entries of any of these patients, newest first; `since` compares createdAt; `after` is the last id of the page before. */
  find(query: {
    readonly patients?: readonly Token[];
    readonly references?: readonly Token[];
    readonly forms?: readonly string[];
    readonly status?: EntryStatus;
    readonly since?: string;
    readonly after?: Id;
    readonly limit: number;
  }): readonly EntryRow[];
  count(): number;
};
