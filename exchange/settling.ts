/** Moves what finds recent entries to where it stays (decision 12), a slice a commit, between the commits of registrations. */
import { setTimeout as wait } from "node:timers/promises";
import { codeOf, reasonOf } from "../errors.ts";
import type { Log } from "../log.ts";
import type { Store } from "../store/store.ts";

/** Pairs in the small level that are worth a sweep (some ten megabytes), and pairs moved in one commit: a registration waits for no more. */
const usual = { least: 200_000, rows: 500 };
const lookMs = 5_000;
const betweenMs = 10;

export type Settling = { stop(): Promise<void> };

/** Looks for what to move until it is stopped. A store that cannot write is told once a look. */
export function openSettling(store: Store, log: Log, step = usual): Settling {
  const stopping = new AbortController();
  const { signal } = stopping;
  const sweep = async (): Promise<void> => {
    while (!signal.aborted) {
      const slice = store.entries.settle(step);
      if (slice.length === 0) return;
      await store.commit(slice);
      await wait(betweenMs, undefined, { signal });
    }
  };
  const ended = (async () => {
    while (!signal.aborted) {
      try {
        await sweep();
      } catch (thrown) {
        if (!signal.aborted) log("registry.unsettled", { code: codeOf(thrown), reason: reasonOf(thrown) }, "warn");
      }
      await wait(lookMs, undefined, { signal }).catch(() => undefined);
    }
  })();
  return {
    stop: async () => {
      stopping.abort();
      await ended;
    },
  };
}
