/** One count beside the site: the answer is posted, and the thread ends. */
import { DatabaseSync } from "node:sqlite";
import { parentPort, workerData } from "node:worker_threads";
import { countRows } from "./counts.ts";

const db = new DatabaseSync(workerData as string, { readOnly: true });
db.exec("PRAGMA busy_timeout = 5000");
// One snapshot: a row that goes from one table to another meanwhile is counted once.
db.exec("BEGIN");
parentPort?.postMessage(countRows((sql) => db.prepare(sql).all()));
db.close();
