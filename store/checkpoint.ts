/**
 * Checkpoints of the write-ahead log between two groups of commits, behind their answers: SQLite's own come within a commit, and whoever
 * waits for that waits for thousands of pages.
 */
import type { DatabaseSync } from "node:sqlite";

/**
 * Pages of the log that are not in the database yet: from so many on they are moved there. With a thousand, more than one group in
 * a hundred waited for it.
 */
const mostPages = 4_000;
/** Groups between two looks, each of which takes 10 µs. */
const groups = 8;

/** `look` is called after each group. Without it SQLite's own limit holds (`wal_autocheckpoint`). */
export function openCheckpoints(db: DatabaseSync): { look(): void } {
  // Moves nothing and says how much there is (SQLite 3.51); an older one makes a checkpoint of it.
  const size = db.prepare("PRAGMA wal_checkpoint(NOOP)");
  let since = 0;
  return {
    look: () => {
      since += 1;
      if (since < groups) return;
      since = 0;
      const { log = 0, checkpointed = 0 } = size.get() ?? {};
      if (Number(log) - Number(checkpointed) >= mostPages) db.exec("PRAGMA wal_checkpoint(PASSIVE)");
    },
  };
}
