/** Checkpoints behind the answers: what SQLite would do within a commit is done between two groups. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { openCheckpoints } from "../../store/checkpoint.ts";

const pageBytes = 4096;

/** A database whose log has at least so many pages, which nothing moves by itself. */
function written(pages: number): DatabaseSync {
  const db = new DatabaseSync(join(mkdtempSync(join(tmpdir(), "semrs-checkpoint-")), "a.db"));
  db.exec("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (x BLOB)");
  db.prepare("INSERT INTO t VALUES (zeroblob(?))").run(pages * pageBytes);
  return db;
}
const left = (db: DatabaseSync): number => {
  const { log, checkpointed } = db.prepare("PRAGMA wal_checkpoint(NOOP)").get() ?? {};
  return Number(log) - Number(checkpointed);
};

test("a long log is moved into the database within a few looks, and what was in it is there", () => {
  const db = written(5_000);
  const { look } = openCheckpoints(db);
  expect(left(db)).toBeGreaterThan(5_000);
  for (let n = 0; n < 8; n += 1) look();
  expect(left(db)).toBe(0);
  expect(db.prepare("SELECT length(x) AS n FROM t").get()).toEqual({ n: 5_000 * pageBytes });
  db.close();
});

test("a short one stays: each checkpoint is two syncs", () => {
  const db = written(100);
  const { look } = openCheckpoints(db);
  for (let n = 0; n < 32; n += 1) look();
  expect(left(db)).toBeGreaterThan(100);
  db.close();
});
