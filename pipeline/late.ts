/** Images that come after their document went: which document they follow, as long as it stands. */
import type { Item } from "../store/store.ts";
import { cancelled } from "./correction.ts";
import { appendsTo } from "./joins.ts";
import type { Site } from "./site.ts";

/** With every id that its patient has or had. */
export const asMerged = ({ store }: Site, document: Item): Item => ({
  ...document,
  patients: store.merges.same(document.patients),
});

/** Whether a report that has gone was cancelled since: nothing follows it any more. */
export const isTakenBack = ({ store }: Site, { record }: Item): boolean =>
  record !== null && store.records.find(record)?.code === cancelled;

/** The document that has gone, and still stands, and that an instance is appended to. */
export const goneWith = (
  site: Site,
  instance: Item,
  documents = site.store.items.joined("document", instance.joins),
): Item | undefined =>
  appendsTo(
    documents
      .filter((document) => document.state === "sealed" && !isTakenBack(site, document))
      .map((document) => asMerged(site, document)),
    instance,
  );

/** Those that were to follow a document. */
export const lateTo = ({ store }: Site, { joins }: Item): readonly Item[] =>
  store.items.joined("instance", joins).filter(({ state }) => state === "waiting");
