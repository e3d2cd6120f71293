/** The database under the store: one connection that reads, one writer thread with group commit (`writer.ts`). */
import { join } from "node:path";
import type { DatabaseSync, SQLInputValue, SQLOutputValue, StatementSync } from "node:sqlite";
import { codeOf, Fault } from "../errors.ts";
import { type Checkpoint, type Head, noCheckpoint } from "./accept-journal.ts";
import { isUnreadable } from "./disk-errors.ts";
import type { Commit, Committed } from "./group-commit.ts";
import { openPacker } from "./parcel.ts";
import { openReader } from "./reader.ts";
import { belowReserve, type Reserve } from "./reserve.ts";
import type { Acceptance, Change } from "./store.ts";
import type { WriterData } from "./writer.ts";
import { openWriter, type Writer } from "./writers.ts";

/** What a `Change` is inside the store. */
export type Statement = { readonly sql: string; readonly params: readonly SQLInputValue[] };
export type Row = Readonly<Record<string, SQLOutputValue>>;

export type Database = {
  all(sql: string, ...params: SQLInputValue[]): readonly Row[];
  get(sql: string, ...params: SQLInputValue[]): Row | undefined;
  /** Reads that see the same state of the index: it is looked once whether that has changed. */
  reading<T>(read: () => T): T;
  commit(changes: readonly Change[], accepted?: readonly Acceptance[], mayWait?: boolean): Promise<void>;
  /** The same as before: nothing was committed since. NaN while a commit is under way. */
  version(): number;
  /** Resolves when nothing can be written any more. */
  readonly failed: Promise<Fault>;
  /** What is not in this database and failed for good: whoever waits for `failed` hears it. */
  fail(fault: Fault): void;
  /** Where the accept journal stood when the last commit was made. */
  readonly checkpoint: Checkpoint;
  /** Starts the writer at this place of the accept journal, which lacks what is owed to it. */
  begin(head: Head, owed: readonly Acceptance[]): void;
  close(): Promise<void>;
};

const maxPrepared = 500;

/** A commit of nothing asks whether the disk keeps what comes next: of a page with the octets it had SQLite writes nothing. */
const anything: Statement = {
  sql: "INSERT INTO meta (name, value) VALUES ('asked', randomblob(8)) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
  params: [],
};
/** A commit that may wait does so until as many are together, or as many turns of the event loop have brought none. */
const maxGathered = 8;
const maxTurns = 4;

/** A statement with its values, to be committed. */
export const change = (sql: string, ...params: SQLInputValue[]): Change => ({ sql, params }) as unknown as Change;

/** Changes that overwrite what they delete with zeros: a key, or what is of a patient, leaves nothing in the file. */
export const overwriting = (changes: readonly Change[]): readonly Change[] => [
  change("PRAGMA secure_delete = ON"),
  ...changes,
  change("PRAGMA secure_delete = FAST"),
];

/** Fails where a condition holds by the time it is committed, with STORE_CONFLICT: a name of `meta` may not be null. */
export const failsWhere = (condition: string): string =>
  `INSERT INTO meta (name, value) SELECT NULL, x'' WHERE ${condition}`;

/** What a change does. */
export const statementOf = (made: Change): Statement => made as unknown as Statement;

/** `UPDATE table SET … WHERE id = ?` for the columns that are given. */
export function update(
  table: string,
  key: string,
  id: string,
  columns: Readonly<Record<string, SQLInputValue | undefined>>,
): Change {
  const given = Object.entries(columns).filter((column): column is [string, SQLInputValue] => column[1] !== undefined);
  const sets = given.map(([name]) => `${name} = ?`).join(", ");
  return change(`UPDATE ${table} SET ${sets} WHERE ${key} = ?`, ...given.map(([, value]) => value), id);
}

/** `INSERT INTO table` of one row. */
export function insert(table: string, row: Readonly<Record<string, SQLInputValue>>, conflict = ""): Change {
  const names = Object.keys(row);
  const known = inserts.get(table);
  if (
    known?.conflict === conflict &&
    names.length === known.names.length &&
    names.every((name, n) => name === known.names[n])
  )
    return change(known.sql, ...Object.values(row));
  const sql = `INSERT INTO ${table} (${names.join(", ")}) VALUES (${names.map(() => "?").join(", ")})${conflict}`;
  inserts.set(table, { names, conflict, sql });
  return change(sql, ...Object.values(row));
}
/** The same where a condition holds, unless a row with this key is there. */
export function insertWhere(
  table: string,
  row: Readonly<Record<string, SQLInputValue>>,
  condition: string,
  ...params: SQLInputValue[]
): Change {
  const names = Object.keys(row);
  return change(
    `INSERT INTO ${table} (${names.join(", ")}) SELECT ${names.map(() => "?").join(", ")} WHERE ${condition} ON CONFLICT DO NOTHING`,
    ...Object.values(row),
    ...params,
  );
}

/** The last one of each table: rows of a table mostly have the same columns. */
const inserts = new Map<
  string,
  { readonly names: readonly string[]; readonly conflict: string; readonly sql: string }
>();

/** Opens or makes `semrs.db` in the folder, brought up to this version's tables. */
export function openDatabase(folder: string, reserve: Reserve): Database {
  const path = join(folder, "semrs.db");
  const reader = openReader(path, join(folder, "accept.journal"));
  const prepared = new Map<string, StatementSync>();
  // A statement says `LIMIT +?`: of a bare parameter there SQLite looks at the value when it plans, and compiles the whole
  // statement anew at every use, which takes longer than the search.
  const statement = (sql: string): StatementSync => {
    const known = prepared.get(sql);
    if (known) return known;
    if (prepared.size >= maxPrepared) prepared.clear();
    const fresh = reader.prepare(sql);
    prepared.set(sql, fresh);
    return fresh;
  };

  let writer: Writer | undefined;
  let failure: Fault | undefined;
  const failed = Promise.withResolvers<Fault>();
  let n = 0;
  const pending = new Map<number, { resolve(): void; reject(fault: Fault): void }>();
  const settle = ({ n: number, error }: Committed): void => {
    const waiting = pending.get(number);
    pending.delete(number);
    if (error?.kind === "damaged") failed.resolve(faultOf(error));
    if (error) waiting?.reject(faultOf(error));
    else waiting?.resolve();
  };
  const die = (cause: unknown): void => {
    failure ??= new Fault("STORE_DAMAGED", "the store's writer ended; restart the site", { cause });
    failed.resolve(failure);
    for (const [, { reject }] of pending) reject(failure);
    pending.clear();
  };
  // Commits of one turn of the loop go to the writer together: a message between threads costs more than what is in it.
  let outbox: Commit[] = [];
  /** Whether one of them may not wait for more, and for how many turns nothing has come. */
  let [isUrgent, turns] = [false, 0];
  const pack = openPacker();
  const post = (): void => {
    const commits = outbox;
    outbox = [];
    isUrgent = false;
    if (commits.length > 0) writer?.post(pack(commits));
  };
  const look = (): void => {
    turns += 1;
    if (isUrgent || outbox.length >= maxGathered || turns > maxTurns) post();
    else setImmediate(look);
  };

  const commit = async (
    changes: readonly Change[],
    accepted: readonly Acceptance[],
    mayWait: boolean,
  ): Promise<void> => {
    if (failure) throw failure;
    if (!writer) throw new Fault("STOPPING", "the store is closed");
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    n += 1;
    pending.set(n, { resolve, reject });
    if (outbox.length === 0) setImmediate(look);
    turns = 0;
    if (!mayWait) isUrgent = true;
    const statements = changes.length + accepted.length > 0 ? (changes as unknown as readonly Statement[]) : [anything];
    outbox.push({ n, statements, accepted });
    await promise;
  };

  /** A disk that is gone may be met by reading alone: a commit finds out, else a house that seems well refuses everything. */
  let looking: Promise<void> | undefined;
  const reading = <T>(read: () => T): T => {
    try {
      return read();
    } catch (thrown) {
      if (!isUnreadable(thrown)) throw thrown;
      looking ??= commit([], [], false)
        .catch(() => undefined)
        .finally(() => (looking = undefined));
      throw new Fault("STORE_DAMAGED", "the index cannot be read; check the disk, then semrs verify", {
        cause: thrown,
      });
    }
  };

  return {
    version: () => (pending.size === 0 ? n : Number.NaN),
    failed: failed.promise,
    fail: failed.resolve,
    all: (sql, ...params) => reading(() => statement(sql).all(...params) as Row[]),
    get: (sql, ...params) => reading(() => statement(sql).get(...params) as Row | undefined),
    reading: (read) => {
      reading(() => statement("BEGIN").run());
      try {
        return read();
      } finally {
        statement("COMMIT").run();
      }
    },
    commit: async (changes, accepted = [], mayWait = false) => {
      // Only intake is refused by the reserve: draining needs room for its marks.
      if (accepted.length > 0 && !reserve.hasSpace()) throw belowReserve();
      try {
        await commit(changes, accepted, mayWait);
      } catch (thrown) {
        // Others have filled the reserve: the ballast makes room for marks once more.
        if (accepted.length > 0 || codeOf(thrown) !== "STORE_FULL" || !reserve.giveUp()) throw thrown;
        await commit(changes, accepted, mayWait);
      }
    },
    checkpoint: checkpointOf(reader),
    begin: (head, owed) => {
      const data: WriterData = { database: path, journal: join(folder, "accept.journal"), head, owed };
      writer = openWriter(data, (results) => results.forEach(settle), die);
    },
    close: async () => {
      post();
      const closing = writer;
      writer = undefined;
      // One that cannot write its last ends as well, and what is open here is closed.
      if (!failure) await closing?.close();
      reader.close();
    },
  };
}

/** Where the accept journal stood when an index was last written, and what was added to it with that. */
export function checkpointOf(db: Pick<DatabaseSync, "prepare">): Checkpoint {
  const row = db.prepare("SELECT value FROM meta WHERE name = 'journal'").get() as { value: Uint8Array } | undefined;
  if (!row) return noCheckpoint;
  type Kept = Omit<Checkpoint, "chain" | "accepted"> & { chain: string; accepted?: readonly Acceptance[] };
  const { chain, accepted = [], ...kept } = JSON.parse(Buffer.from(row.value).toString("utf8")) as Kept;
  return { ...kept, chain: Buffer.from(chain, "hex"), accepted };
}

const codes = { conflict: "STORE_CONFLICT", full: "STORE_FULL", damaged: "STORE_DAMAGED" } as const;
const remedies = {
  conflict: "a row with this key exists already",
  full: "the disk is full; free space",
  damaged: "the store could not write; check the disk and restart the site",
} as const;

/** What a caller is told of a commit that failed. SQLite's own text names columns, never values; it is kept as the cause. */
export const faultOf = ({ kind, message }: NonNullable<Committed["error"]>): Fault =>
  new Fault(codes[kind], remedies[kind], { cause: new Error(message) });
