/** One question beside the site: the answer is posted, and the thread ends. */
import { DatabaseSync } from "node:sqlite";
import { parentPort, workerData } from "node:worker_threads";
import { type ScanRequest, scans } from "./scans.ts";

const { database, name, value } = workerData as ScanRequest;
const db = new DatabaseSync(database, { readOnly: true });
db.exec("PRAGMA busy_timeout = 5000");
// One snapshot: a row that changes its state meanwhile is counted once.
db.exec("BEGIN");
parentPort?.postMessage(scans[name]({ all: (sql, ...params) => db.prepare(sql).all(...params) }, value as never));
db.close();
