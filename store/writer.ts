/** The writer thread: owns the only connection that writes, and gathers whatever waits into one transaction and one fsync. */
import { fdatasyncSync, openSync, writeSync } from "node:fs";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { parentPort, workerData } from "node:worker_threads";
import { frame, type Head } from "./accept-journal.ts";
import type { Statement } from "./sqlite.ts";
import type { Acceptance } from "./store.ts";

export type Commit = {
  readonly n: number;
  readonly statements: readonly Statement[];
  readonly accepted: readonly Acceptance[];
};
/** `error` is undefined for a commit that is durable. */
export type Committed = {
  readonly n: number;
  readonly error?: { readonly kind: "conflict" | "full" | "damaged"; readonly message: string };
};
export type WriterData = { readonly database: string; readonly journal: string; readonly head: Head };

const { database, journal, head } = workerData as WriterData;
const port = parentPort;
if (!port) throw new Error("the writer runs as a worker thread");

const db = new DatabaseSync(database);
db.exec(
  "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000; PRAGMA wal_autocheckpoint = 4000",
);
const file = openSync(journal, "a", 0o600);
const prepared = new Map<string, StatementSync>();
let { seq, chain, offset } = head;
let isDamaged = false;
let waiting: Commit[] = [];
const checkpoint =
  "INSERT INTO meta (name, value) VALUES ('journal', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value";

port.on("message", (message: readonly Commit[] | "close") => {
  if (message === "close") {
    commitWaiting();
    db.close();
    process.exit(0);
  }
  // Everything that arrived in the same turn of the loop shares the transaction.
  if (waiting.length === 0) setImmediate(commitWaiting);
  waiting.push(...message);
});

function commitWaiting(): void {
  const group = waiting;
  waiting = [];
  if (group.length === 0) return;
  const results = isDamaged
    ? group.map(({ n }) => failed(n, "damaged", "the store stopped after a failed write; restart the site"))
    : write(group);
  port?.postMessage(results);
}

function write(group: readonly Commit[]): Committed[] {
  const results: Committed[] = [];
  try {
    db.exec("BEGIN IMMEDIATE");
    for (const commit of group) results.push(apply(commit));
    run({
      sql: checkpoint,
      params: [Buffer.from(JSON.stringify({ seq, chain: Buffer.from(chain).toString("hex"), offset }))],
    });
    db.exec("COMMIT");
  } catch (thrown) {
    try {
      db.exec("ROLLBACK");
    } catch {
      // Nothing was begun, or SQLite rolled back itself.
    }
    const kind = kindOf(thrown);
    if (kind === "damaged") isDamaged = true;
    return group.map(({ n }) => failed(n, kind === "conflict" ? "damaged" : kind, messageOf(thrown)));
  }
  try {
    append(group.filter((_, index) => results[index]?.error === undefined).flatMap(({ accepted }) => accepted));
  } catch (thrown) {
    // An fsync that failed once may succeed the second time without having written: never retried on this handle.
    isDamaged = true;
    return group.map(({ n }) => failed(n, "damaged", messageOf(thrown)));
  }
  return results;
}

/** One caller's changes: all or none, whatever the others of the group do. */
function apply({ n, statements }: Commit): Committed {
  db.exec("SAVEPOINT one");
  try {
    for (const statement of statements) run(statement);
    db.exec("RELEASE one");
    return { n };
  } catch (thrown) {
    const kind = kindOf(thrown);
    if (kind !== "conflict") throw thrown;
    db.exec("ROLLBACK TO one; RELEASE one");
    return failed(n, kind, messageOf(thrown));
  }
}

function run({ sql, params }: Statement): void {
  let statement = prepared.get(sql);
  if (!statement) {
    statement = db.prepare(sql);
    prepared.set(sql, statement);
  }
  statement.run(...params);
}

function append(accepted: readonly Acceptance[]): void {
  if (accepted.length === 0) return;
  const frames: Uint8Array[] = [];
  const at = Date.now();
  for (const { id, digest } of accepted) {
    const next = frame({ seq: seq + 1, at, id, digest }, chain);
    frames.push(next.bytes);
    seq += 1;
    chain = next.chain;
    offset += next.bytes.length;
  }
  const bytes = Buffer.concat(frames);
  for (let written = 0; written < bytes.length; ) written += writeSync(file, bytes, written);
  fdatasyncSync(file);
}

const failed = (n: number, kind: NonNullable<Committed["error"]>["kind"], message: string): Committed => ({
  n,
  error: { kind, message },
});

const messageOf = (thrown: unknown): string => (thrown instanceof Error ? thrown.message : String(thrown));

/** SQLITE_CONSTRAINT is 19, SQLITE_FULL 13; the low octet is the primary code. */
function kindOf(thrown: unknown): "conflict" | "full" | "damaged" {
  const { errcode = 0, code = "" } = thrown as { errcode?: number; code?: string };
  if ((errcode & 0xff) === 19) return "conflict";
  return (errcode & 0xff) === 13 || code === "ENOSPC" ? "full" : "damaged";
}
