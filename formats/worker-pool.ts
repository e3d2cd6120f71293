/**
 * A few worker threads for work that would hold up the loop or may never end: one job a worker, a time limit a job; a worker
 * that is over it, or dies, is ended and the next job gets a new one. Idle workers keep no process alive.
 */
import { Worker } from "node:worker_threads";
import { type ErrorCode, Fault } from "../errors.ts";

export type Pool<Job, Result> = {
  /** The job's result; the fault that the worker threw, or `over` after the time limit or when the worker died. `transfer`: not copied. */
  run(job: Job, ms: number, transfer?: readonly ArrayBuffer[]): Promise<Result>;
  close(): Promise<void>;
};

/** What a worker posts back. */
export type Reply = { readonly value: unknown } | { readonly code: ErrorCode; readonly message: string };

export type PoolOptions = {
  readonly workers: number;
  /** Old generation of each worker's heap. */
  readonly maxHeapMb: number;
  /** What a job that was cut off means. */
  readonly over: ErrorCode;
  /** What is being done, for the message: "the document". */
  readonly what: string;
  /** Of its threads, as `top -H` shows them; 15 characters. */
  readonly name: string;
  /** Given to each worker. */
  readonly data?: unknown;
};

/** Jobs that may wait for a worker; over it the caller is told to come again. */
const maxWaiting = 1_000;

/** A pool over the module at `url`, which posts one `Reply` for each message. */
export function openPool<Job, Result>(url: URL, options: PoolOptions): Pool<Job, Result> {
  const idle: Worker[] = [];
  const all = new Set<Worker>();
  const waiting: ((worker: Worker) => void)[] = [];

  const started = (): Worker => {
    const worker = new Worker(url, {
      name: options.name,
      workerData: options.data,
      resourceLimits: { maxOldGenerationSizeMb: options.maxHeapMb },
    });
    all.add(worker);
    const forget = (): void => {
      all.delete(worker);
      if (idle.includes(worker)) idle.splice(idle.indexOf(worker), 1);
    };
    // What fails once its job is done (a promise that nobody awaited) is nobody's: unheard, it would end the process.
    worker.on("error", forget).once("exit", forget);
    return worker;
  };

  const free = async (): Promise<Worker> => {
    const worker = idle.pop() ?? (all.size < options.workers ? started() : undefined);
    if (worker) return worker;
    if (waiting.length >= maxWaiting) throw new Fault("PEER_BUSY", `over ${maxWaiting} jobs wait for ${options.what}`);
    return await new Promise((resolve) => waiting.push(resolve));
  };

  const release = (worker: Worker): void => {
    const next = waiting.shift();
    if (next) next(worker);
    else {
      worker.unref();
      idle.push(worker);
    }
  };

  /** Its place is taken at once by whoever waits. */
  const discard = (worker: Worker): void => {
    all.delete(worker);
    void worker.terminate();
    const next = waiting.shift();
    if (next) next(started());
  };

  const run = async (job: Job, ms: number, transfer: readonly ArrayBuffer[] = []): Promise<Result> => {
    const worker = await free();
    worker.ref();
    const { promise, resolve, reject } = Promise.withResolvers<Result>();
    const cut = (how: string) => {
      worker.off("message", told).off("error", failed).off("exit", exited);
      discard(worker);
      reject(new Fault(options.over, `${options.what} ${how}`));
    };
    const timer = setTimeout(() => cut(`was not done within ${ms} ms`), ms);
    const told = (reply: Reply): void => {
      worker.off("error", failed).off("exit", exited);
      release(worker);
      if ("value" in reply) resolve(reply.value as Result);
      else reject(new Fault(reply.code, reply.message));
    };
    // The error of a worker may quote what it worked on: only its kind is told.
    const failed = ({ name }: Error): void => cut(`ended its worker (${name})`);
    const exited = (code: number): void => cut(`ended its worker (exit ${code})`);
    worker.once("message", told).once("error", failed).once("exit", exited);
    worker.postMessage(job, transfer);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
    }
  };

  return {
    run,
    close: async () => {
      await Promise.all([...all].map((worker) => worker.terminate()));
      idle.splice(0);
    },
  };
}
