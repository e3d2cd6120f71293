/** One check of the index beside the site: the answer is posted, and the thread ends. */
import { parentPort, workerData } from "node:worker_threads";
import { type CheckRequest, checkIndex } from "./index-checks.ts";

parentPort?.postMessage(checkIndex(workerData as CheckRequest));
