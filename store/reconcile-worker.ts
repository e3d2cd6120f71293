/** One reconciliation beside the site: the answer is posted, and the thread ends. */
import { parentPort, workerData } from "node:worker_threads";
import { type ReconcileRequest, reconcile } from "./reconcile.ts";

parentPort?.postMessage(await reconcile(workerData as ReconcileRequest));
