/** The writer thread: owns the only connection that writes, and gathers whatever waits into one transaction and one fsync. */
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { parentPort, workerData } from "node:worker_threads";
import { type Head, maxGroup } from "./accept-journal.ts";
import { openAppender } from "./appender.ts";
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
const accepting = openAppender(journal, head);
const prepared = new Map<string, StatementSync>();
let isDamaged = false;
let isBusy = false;
let isClosing = false;
let waiting: Commit[] = [];
const checkpoint =
  "INSERT INTO meta (name, value) VALUES ('journal', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value";

port.on("message", (message: readonly Commit[] | "close") => {
  if (message === "close") isClosing = true;
  else waiting.push(...message);
  // Everything that arrives in the same turn of the loop shares the transaction.
  if (!isBusy) setImmediate(commitWaiting);
  isBusy = true;
});

async function commitWaiting(): Promise<void> {
  while (waiting.length > 0) {
    const group = nextGroup();
    const results = isDamaged
      ? group.map(({ n }) => failed(n, "damaged", "the store stopped after a failed write; restart the site"))
      : await write(group);
    port?.postMessage(results);
    // What came meanwhile is received before the next group is made up.
    await new Promise((resolve) => setImmediate(resolve));
  }
  isBusy = false;
  if (isClosing) close();
}

/** As many as the accept journal takes at once. */
function nextGroup(): readonly Commit[] {
  let accepted = 0;
  const end = waiting.findIndex((commit, n) => {
    accepted += commit.accepted.length;
    return n > 0 && accepted > maxGroup;
  });
  const group = end < 0 ? waiting : waiting.slice(0, end);
  waiting = end < 0 ? [] : waiting.slice(end);
  return group;
}

/** Index and accept journal are written, then synced at the same time; neither of them alone is an answer (decision 10). */
async function write(group: readonly Commit[]): Promise<readonly Committed[]> {
  let results: readonly Committed[] = [];
  let synced: Promise<void> | undefined;
  try {
    if (group.some(({ accepted }) => accepted.length > 0)) accepting.reserve();
    db.exec("BEGIN IMMEDIATE");
    results = group.map(apply);
    run({ sql: checkpoint, params: [accepting.checkpoint()] });
    synced = accepting.append(group.flatMap(({ accepted }, n) => (results[n]?.error ? [] : accepted)));
    db.exec("COMMIT");
  } catch (thrown) {
    try {
      db.exec("ROLLBACK");
    } catch {
      // Nothing was begun, or SQLite rolled back itself.
    }
    const kind =
      (await synced?.then(accepting.takeBack).then(
        () => kindOf(thrown),
        () => "damaged" as const,
      )) ?? kindOf(thrown);
    if (kind === "damaged") isDamaged = true;
    return group.map(({ n }) => failed(n, kind === "conflict" ? "damaged" : kind, messageOf(thrown)));
  }
  try {
    await synced;
    return results;
  } catch (thrown) {
    // An fsync that failed once may succeed the second time without having written: never retried on this handle.
    isDamaged = true;
    return group.map(({ n }) => failed(n, "damaged", messageOf(thrown)));
  }
}

function close(): void {
  if (!isDamaged) {
    accepting.close();
    run({ sql: checkpoint, params: [accepting.checkpoint()] });
  }
  db.close();
  process.exit(0);
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
