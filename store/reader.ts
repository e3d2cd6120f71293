/** The connection to the index that reads, and with it the index itself: made, or brought up to the tables of this version. */
import { existsSync, readFileSync, statSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { Fault } from "../errors.ts";
import { emptyHead, walkOn } from "./accept-journal.ts";
import { isFull, isUnreadable } from "./disk-errors.ts";
import { writeDurably } from "./durable.ts";
import { migrations } from "./schema.ts";

/** STORE_FULL or STORE_DAMAGED where the file cannot be read, or its tables not be made. */
export function openReader(path: string, journal: string): DatabaseSync {
  checkBeside(path, journal);
  let reader: DatabaseSync | undefined;
  try {
    const isNew = !existsSync(path);
    // SQLite would make it for everybody to read, and what it lays beside it has the same mode.
    if (isNew) writeDurably(path, empty, 0o600);
    reader = new DatabaseSync(path);
    reader.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000");
    migrate(reader, path);
    if (isNew && empty.length === 0) empty = octetsOf(reader, path);
    reader.exec("PRAGMA query_only = 1");
    return reader;
  } catch (cause) {
    reader?.close();
    if (isFull(cause))
      throw new Fault("STORE_FULL", `there is no room for the tables of ${path}; free space`, { cause });
    if (isUnreadable(cause))
      throw new Fault("STORE_DAMAGED", `${path} cannot be read; check the disk, then restore a backup`, { cause });
    throw cause;
  }
}

/** A new index as the first of this process was made: others (`semrs test` opens several for each test) are copies of it. */
let empty: Uint8Array = new Uint8Array();
function octetsOf(db: DatabaseSync, path: string): Uint8Array {
  db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  return readFileSync(path);
}

/** A new index beside a journal would have every blob file swept that the lost one names. */
function checkBeside(path: string, journal: string): void {
  const isThere = existsSync(path) && statSync(path).size > 0;
  if (!isThere && !walkOn(journal, emptyHead).next().done)
    throw new Fault("STORE_DAMAGED", `${path} is missing, and ${journal} is not; put it back, or restore a backup`);
}

function migrate(db: DatabaseSync, path: string): void {
  const { user_version: version } = db.prepare("PRAGMA user_version").get() as { user_version: number };
  if (version > migrations.length) {
    throw new Fault(
      "CONFIG_INVALID",
      `${path} was made by a newer semrs (format ${version}, this is ${migrations.length}); run that version`,
    );
  }
  const left = migrations.slice(version);
  // A new index waits for the disk once. One that has something in it may have gigabytes to move in one of them.
  const commits = version === 0 ? [left.join(";")] : left;
  for (const [index, sql] of commits.entries())
    db.exec(`BEGIN; ${sql}; PRAGMA user_version = ${migrations.length - commits.length + 1 + index}; COMMIT`);
}
