/**
 * The threads that write, one for each open store. To start one takes most of what opening a store takes: where a process opens
 * several one after the other (`semrs test`), a thread whose store is closed waits for the next.
 */
import { Worker } from "node:worker_threads";
import type { Committed } from "./group-commit.ts";
import type { Parcel } from "./parcel.ts";
import type { WriterData } from "./writer.ts";

export type Writer = {
  post(parcel: Parcel): void;
  /** Resolves when its last is written, or its thread has ended. */
  close(): Promise<void>;
};

/** Threads that wait: as many as the houses of a test. */
const maxIdle = 8;
const idle: Worker[] = [];

/** `written` hears of each group, `died` of the error that ended the thread. */
export function openWriter(
  data: WriterData,
  written: (results: readonly Committed[]) => void,
  died: (cause: unknown) => void,
): Writer {
  const worker = idle.pop() ?? start();
  worker.ref();
  const closed = Promise.withResolvers<void>();
  const listen = (message: readonly Committed[] | "closed"): void => {
    if (message !== "closed") written(message);
    else {
      worker.off("message", listen).off("error", died).off("exit", closed.resolve);
      closed.resolve();
      wait(worker);
    }
  };
  worker.on("message", listen).on("error", died).once("exit", closed.resolve);
  worker.postMessage(data);
  return {
    post: (parcel) => worker.postMessage(parcel, [parcel.octets.buffer]),
    close: async () => {
      worker.postMessage("close");
      await closed.promise;
    },
  };
}

/** A thread that waits holds no process up. */
function wait(worker: Worker): void {
  if (idle.length >= maxIdle) void worker.terminate();
  else idle.push(worker);
  worker.unref();
}

function start(): Worker {
  const worker = new Worker(new URL("./writer.ts", import.meta.url), { name: "writer" });
  worker.once("exit", () => {
    const at = idle.indexOf(worker);
    if (at >= 0) idle.splice(at, 1);
  });
  return worker;
}
