/** Checkpoints beside the commits: what SQLite would do within one is done in another thread, and the log stays short. */
import { mkdtempSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setImmediate } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import { openCheckpoints } from "../../store/checkpoint.ts";

const pageBytes = 4096;

/** A database whose log nothing moves by itself, and what moves it. */
function opened() {
  const path = join(mkdtempSync(join(tmpdir(), "semrs-checkpoint-")), "a.db");
  const db = new DatabaseSync(path);
  db.exec("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (x BLOB)");
  const checkpoints = openCheckpoints(db, path);
  onTestFinished(async () => {
    await checkpoints.close();
    db.close();
  });
  const insert = db.prepare("INSERT INTO t VALUES (zeroblob(?))");
  return { db, path, look: checkpoints.look, write: (pages: number) => void insert.run(pages * pageBytes) };
}
const left = (db: DatabaseSync): number => {
  const { log, checkpointed } = db.prepare("PRAGMA wal_checkpoint(NOOP)").get() ?? {};
  return Number(log) - Number(checkpointed);
};

test("a long log is moved into the database, and what was in it is there", async () => {
  const { db, look, write } = opened();
  write(5_000);
  expect(left(db)).toBeGreaterThan(5_000);
  while (left(db) > 0) {
    look();
    await setImmediate();
  }
  expect(db.prepare("SELECT length(x) AS n FROM t").get()).toEqual({ n: 5_000 * pageBytes });
});

test("a short one stays: each checkpoint is two syncs", async () => {
  const { db, look, write } = opened();
  write(100);
  for (let n = 0; n < 32; n += 1) look();
  await setImmediate();
  expect(left(db)).toBeGreaterThan(100);
});

test("under commits that never end it begins anew again and again, and grows no longer than what came meanwhile", async () => {
  const { db, path, look, write } = opened();
  const log = (): number => Number(db.prepare("PRAGMA wal_checkpoint(NOOP)").get()?.log);
  let [longest, begun] = [0, 0];
  for (let before = log(); begun < 10; before = log()) {
    write(20);
    look();
    await setImmediate();
    if (log() < before) begun += 1;
    longest = Math.max(longest, log());
  }
  expect(statSync(`${path}-wal`).size).toBeLessThan(1.1 * longest * (pageBytes + 24));
  expect(db.prepare("PRAGMA integrity_check").get()).toEqual({ integrity_check: "ok" });
});
