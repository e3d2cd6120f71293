/**
 * Retention of what was taken and left neither a document nor an instance, such as an admission, and of what the registry was asked
 * for: octets, keys and facts go, the rows and their fate stay.
 */
import { setImmediate as others } from "node:timers/promises";
import type { Change, Id } from "../store/store.ts";
import type { Site } from "./site.ts";

export type Shredding = {
  /** One pass over those with ids (which are times) before this one: how many have lost what they had. */
  look(
    before: Id,
    pinned: string,
    isStopped: () => boolean,
  ): Promise<{ readonly count: number; readonly files: readonly string[] }>;
};

/** Rows looked at in one query, and shredded in one commit. */
const page = 100;
/** Of one pass: so many a minute, where all rows are gone through. */
const maxPages = 1_000;
/** All are gone through again this often, and after a start: one may have been decided, or answered, late. */
const anewMs = 86_400_000;

/** `steady` is a clock that nobody can set, milliseconds. */
export function openDone({ store }: Pick<Site, "store">, steady: () => number): Shredding {
  /** Up to where this process has gone. */
  const reached = { arrivals: "", asked: "" };
  let anewAt = Number.NEGATIVE_INFINITY;

  return {
    look: async (before, pinned, isStopped) => {
      if (steady() >= anewAt) {
        anewAt = steady() + anewMs;
        [reached.arrivals, reached.asked] = ["", ""];
      }
      const files: string[] = [];
      const shred = async (which: keyof typeof reached): Promise<number> => {
        let count = 0;
        for (let [n, isMore] = [0, true]; n < maxPages && isMore && !isStopped(); n += 1) {
          const query = { before, after: reached[which], limit: page };
          const rows = which === "asked" ? store.deliveries.asked(query) : store.keptArrivals.taken(query);
          const over = rows.filter(({ isOver }) => isOver).map(({ id }) => id);
          if (over.length > 0) await store.commit(changesOf(which, over));
          // Others have their turn between two pages.
          else await others();
          reached[which] = rows.at(-1)?.id ?? reached[which];
          count += over.length;
          isMore = rows.length === page;
        }
        return count;
      };
      const changesOf = (which: keyof typeof reached, ids: readonly Id[]): readonly Change[] => {
        if (which === "asked") return store.deliveries.forget(ids);
        const shredded = store.keptArrivals.shred("done", ids, pinned);
        files.push(...shredded.files);
        return shredded.changes;
      };
      return { count: (await shred("arrivals")) + (await shred("asked")), files };
    },
  };
}
