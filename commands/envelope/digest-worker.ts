/** A thread of `digestFile`: the digests of one range of segments. */
import { parentPort, workerData } from "node:worker_threads";
import { digestPart } from "../../envelope/part.ts";
import { octetsOf, type Range } from "./files.ts";

const { file, from, to } = workerData as Range;
const { segs } = await digestPart(octetsOf(file, from, to), "segments");
parentPort?.postMessage(segs);
