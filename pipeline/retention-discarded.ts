/**
 * Retention of documents and instances that ended without a record, as what a person discarded: octets, keys and facts go, and so does
 * what is left of their message; the rows and their fate stay.
 */
import { setImmediate as others } from "node:timers/promises";
import type { EndedItem } from "../store/kept-items.ts";
import type { Id, Item } from "../store/store.ts";
import { itemHusk } from "./husks.ts";
import type { Shredding } from "./retention-done.ts";
import type { Site } from "./site.ts";
import type { DocumentFacts } from "./validate.ts";

/** Rows looked at in one query, and shredded in one commit. */
const page = 100;
/** Of one pass: after a start all rows are gone through once. */
const maxPages = 1_000;
/** All are gone through again this often: one may be discarded late, or wait for its attachment. */
const anewMs = 3_600_000;
const kinds = ["document", "instance"] as const;

/** `readable`: undefined for what cannot be read, which is told later. */
export function openDiscarded(
  { store }: Pick<Site, "store">,
  steady: () => number,
  readable: <T>(read: () => T) => T | undefined,
): Shredding {
  /** Up to where this process has gone. */
  const reached: Record<Item["kind"], Id> = { document: "", instance: "" };
  let anewAt = Number.NEGATIVE_INFINITY;

  return {
    look: async (before, pinned, isStopped) => {
      if (steady() >= anewAt) {
        anewAt = steady() + anewMs;
        for (const kind of kinds) reached[kind] = "";
      }
      const files: string[] = [];
      let count = 0;
      for (const kind of kinds)
        for (let [n, isMore] = [0, true]; n < maxPages && isMore && !isStopped(); n += 1) {
          const rows = store.keptItems.discarded({ kind, before, after: reached[kind], limit: page });
          const over = rows
            .filter(({ isOver }) => isOver)
            .flatMap(({ id }) => readable(() => store.items.find(id)) ?? []);
          const shredded = store.keptItems.shred(over.map(endedOf), pinned);
          if (shredded.count > 0) await store.commit(shredded.changes);
          // Others have their turn between two pages.
          else await others();
          files.push(...shredded.files);
          count += shredded.count;
          reached[kind] = rows.at(-1)?.id ?? reached[kind];
          isMore = rows.length === page;
        }
      return { count, files };
    },
  };
}

function endedOf(item: Item): EndedItem {
  const { attachments = [] } = item.kind === "document" ? (item.facts as DocumentFacts) : {};
  return { item, husk: itemHusk(item), attachments: attachments.map(({ blob }) => blob) };
}
