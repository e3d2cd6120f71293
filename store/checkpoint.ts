/**
 * Checkpoints of the write-ahead log beside the commits, not within one: the thousands of pages are moved by a connection in another
 * thread (`checkpoint-worker.ts`), and the writer moves the last few itself, between two groups. Only then does the log begin anew,
 * which is what keeps it short (decision 29).
 */
import type { DatabaseSync } from "node:sqlite";
import { Worker } from "node:worker_threads";
import { isFull } from "./disk-errors.ts";

/**
 * Pages of the log that are not in the database yet: from so many on they are moved there. A page that changed often is moved
 * once, so more of them are cheaper.
 */
const mostPages = 4_000;
/**
 * What the file of the log keeps when it begins anew: somebody who read for long (a backup, a look at everything) kept it from that, and
 * it is as long as what was committed meanwhile.
 */
export const maxLogBytes = 64 * 1024 * 1024;
/** Groups between two looks, each of which takes 10 µs. */
const groups = 8;

/** Moves what it can. For what finds no room in the database there is as good a place in the log: it is moved when there is. */
export function movePages(db: DatabaseSync): void {
  try {
    db.exec("PRAGMA wal_checkpoint(PASSIVE)");
  } catch (thrown) {
    if (!isFull(thrown)) throw thrown;
  }
}

export type Checkpoints = {
  /** Called after each group. Without it SQLite's own limit holds (`wal_autocheckpoint`). */
  look(): void;
  /** Resolves when nobody moves any more. */
  close(): Promise<void>;
};

/** Of the connection that writes. */
export function openCheckpoints(db: DatabaseSync, database: string): Checkpoints {
  // Moves nothing and says how much there is (SQLite 3.51); an older one makes a checkpoint of it.
  const size = db.prepare("PRAGMA wal_checkpoint(NOOP)");
  const mover = openMover(database);
  let since = 0;
  let state: "idle" | "moving" | "moved" = "idle";
  return {
    look: () => {
      since += 1;
      if (state === "moving" || (state === "idle" && since < groups)) return;
      since = 0;
      if (state === "moved") {
        movePages(db);
        state = "idle";
        return;
      }
      const { log = 0, checkpointed = 0 } = size.get() ?? {};
      if (Number(log) - Number(checkpointed) < mostPages) return;
      state = "moving";
      mover.move(() => {
        state = "moved";
      });
    },
    close: mover.close,
  };
}

/** A thread that begins with the first call: a house that changes little never has it. An error of it ends this one: the disk failed. */
function openMover(database: string): { move(moved: () => void): void; close(): Promise<void> } {
  let worker: Worker | undefined;
  let ended: Promise<unknown> = Promise.resolve();
  return {
    move: (moved) => {
      if (!worker) {
        const resourceLimits = { maxYoungGenerationSizeMb: 1, maxOldGenerationSizeMb: 16 };
        const started = new Worker(new URL("./checkpoint-worker.ts", import.meta.url), {
          name: "checkpoint",
          workerData: database,
          resourceLimits,
        });
        ended = new Promise((resolve) => started.once("exit", resolve));
        worker = started;
      }
      worker.once("message", moved).postMessage("move");
    },
    close: async () => {
      worker?.postMessage("close");
      await ended;
    },
  };
}
