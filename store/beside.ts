/** Work beside the site, in a thread of its own: what goes through every row of an index would keep all others waiting. */
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { Fault } from "../errors.ts";

/** The one answer of a program of this folder. STOPPING when the signal says so; STORE_DAMAGED, naming `what`, where it fails. */
export const beside = <Request, Answer>(
  program: `./${string}-worker.ts`,
  request: Request,
  what: string,
  signal?: AbortSignal,
): Promise<Answer> =>
  named(what, signal, async () => {
    const worker = new Worker(new URL(program, import.meta.url), { name: "scan", workerData: request });
    try {
      const [answer] = (await once(worker, "message", signal ? { signal } : {})) as [Answer];
      return answer;
    } catch (cause) {
      await worker.terminate();
      throw cause;
    }
  });

/** The same faults of work that is done here. */
export async function named<Answer>(
  what: string,
  signal: AbortSignal | undefined,
  work: () => Promise<Answer>,
): Promise<Answer> {
  try {
    return await work();
  } catch (cause) {
    if (signal?.aborted) throw new Fault("STOPPING", "the site is stopping", { cause });
    const reason = cause instanceof Error ? cause.message : "the store cannot be read";
    throw new Fault("STORE_DAMAGED", `${what} failed: ${reason}`, { cause });
  }
}
