/**
 * Moves pages of the write-ahead log into the database while another connection commits (a passive checkpoint waits for nobody and nobody
 * waits for it), and says when hardly any is left. It never begins the log anew: that is the writer's.
 */
import { DatabaseSync } from "node:sqlite";
import { parentPort, workerData } from "node:worker_threads";
import { movePages } from "./checkpoint.ts";

/**
 * The first leaves what came meanwhile, a few hundred pages, the second a few. SQLite syncs the database only where nothing came
 * during a pass, so the next ones mostly do: else the writer would wait for that.
 */
const passes = 5;

const db = new DatabaseSync(workerData as string);
db.exec("PRAGMA synchronous = FULL");
parentPort?.on("message", (message: "move" | "close") => {
  if (message === "close") {
    db.close();
    parentPort?.close();
    return;
  }
  for (let pass = 0; pass < passes; pass += 1) movePages(db);
  parentPort?.postMessage("moved");
});
