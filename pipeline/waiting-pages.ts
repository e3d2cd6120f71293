/** Instances that wait, a page of them in one turn of the loop: of those that wait for a report there may be months. */
import { setImmediate as others } from "node:timers/promises";
import type { Item, Store } from "../store/store.ts";

const pageRows = 500;

/** All of them, those that were first at first, until `isStopped`. */
export async function* waitingInstances({ items }: Store, isStopped: () => boolean): AsyncGenerator<Item> {
  for (let after = ""; !isStopped(); ) {
    const page = items.waiting(after, pageRows);
    yield* page;
    after = page.at(-1)?.id ?? "";
    if (page.length < pageRows) return;
    await others();
  }
}
