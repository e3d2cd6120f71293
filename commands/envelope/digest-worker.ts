/** A thread of `digestFile`: the digests of one range of segments. */
import { parentPort, workerData } from "node:worker_threads";
import { digested, type Range } from "./files.ts";

parentPort?.postMessage(await digested(workerData as Range));
