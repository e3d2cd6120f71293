/** The writer thread: owns the only connection that writes, and gathers whatever waits into one transaction and one fsync. */
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { parentPort } from "node:worker_threads";
import { giveBack } from "../memory.ts";
import type { Head } from "./accept-journal.ts";
import { openAppender } from "./appender.ts";
import { chainsAudit } from "./audit-chain.ts";
import { maxLogBytes, openCheckpoints } from "./checkpoint.ts";
import { systemClock } from "./clock.ts";
import { type Commit, nextGroup, openGroupCommit } from "./group-commit.ts";
import { openJournalFile } from "./journal-file.ts";
import { openUnpacker, type Parcel } from "./parcel.ts";
import type { Statement } from "./sqlite.ts";
import type { Acceptance } from "./store.ts";

export type WriterData = {
  readonly database: string;
  readonly journal: string;
  readonly head: Head;
  readonly owed: readonly Acceptance[];
};

const port = parentPort;
if (!port) throw new Error("the writer runs as a worker thread");

/** Writes for one store after the other: each is a `WriterData`, then its parcels, then `close`. */
let store: ReturnType<typeof openForWriting> | undefined;
port.on("message", (message: WriterData | Parcel | "close") => {
  if (message === "close") store?.close();
  else if ("database" in message) store = openForWriting(message);
  else store?.take(message);
});

function openForWriting({ database, journal, head, owed }: WriterData) {
  const db = new DatabaseSync(database);
  // Fast: what is moved to another page leaves no copy behind, which a row that is shredded later would have there.
  db.exec(
    "PRAGMA secure_delete = FAST; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000; PRAGMA wal_autocheckpoint = 8000",
  );
  db.exec(`PRAGMA journal_size_limit = ${maxLogBytes}`);
  chainsAudit(db);
  const prepared = new Map<string, StatementSync>();
  const run = ({ sql, params }: Statement): void => {
    let statement = prepared.get(sql);
    if (!statement) {
      statement = db.prepare(sql);
      prepared.set(sql, statement);
    }
    statement.run(...params);
  };
  const accepting = openAppender(openJournalFile(journal, "append"), head, systemClock);
  const groups = openGroupCommit({ exec: (sql) => db.exec(sql), run }, accepting, owed);
  const checkpoints = openCheckpoints(db, database);
  const unpack = openUnpacker();
  let isBusy = false;
  let isClosing = false;
  let waiting: readonly Commit[] = [];
  /** What the octets of those that wait lie in. */
  const memory: Uint8Array[] = [];

  async function commitWaiting(): Promise<void> {
    while (waiting.length > 0) {
      const { group, rest } = nextGroup(waiting);
      waiting = rest;
      const used = rest.length > 0 ? [] : memory.splice(0);
      const results = await groups.write(group);
      port?.postMessage(results);
      // A collection would leave them to gather: memory that is in the caches is used again instead.
      used.forEach(giveBack);
      checkpoints.look();
      // What came meanwhile is received before the next group is made up.
      await new Promise((resolve) => setImmediate(resolve));
    }
    isBusy = false;
    if (!isClosing) return;
    await checkpoints.close();
    const isWhole = groups.close();
    db.close();
    // After a write that failed the accept journal is still open here, and never written again.
    if (isWhole) port?.postMessage("closed");
    else process.exit();
  }
  /** Everything that arrives in the same turn of the loop shares the transaction. */
  const wake = (): void => {
    if (!isBusy) setImmediate(commitWaiting);
    isBusy = true;
  };
  return {
    take: (parcel: Parcel): void => {
      waiting = [...waiting, ...unpack(parcel)];
      memory.push(parcel.octets);
      wake();
    },
    close: (): void => {
      isClosing = true;
      wake();
    },
  };
}
