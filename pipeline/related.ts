/** What an author says of a document that it is about to push (decision 37): kept until the record comes, or a day. */
import type { Command } from "../formats/command.ts";
import type { Change } from "../store/store.ts";
import { pushChannel } from "./open.ts";
import { isOfAnother } from "./relation.ts";
import type { Site } from "./site.ts";

/** Each attempt to push tells it anew, so that it need not be kept for long. */
export const relationMs = 24 * 3_600_000;

const foreign = { code: "NOT_PERMITTED", reason: "what is said of a document counts from its author alone" } as const;

/** What is said of another house's document is not kept; who says it learns nothing of who has which (decision 36). */
export async function receiveRelation(
  site: Site,
  org: string,
  { uniqueId, relatedDocument }: Command<"relation">,
  changes: readonly Change[],
): Promise<void> {
  const { store, now, log } = site;
  const { name: channel } = pushChannel(site, org);
  const key = store.tokens.of("document", "", uniqueId);
  const isForeign = [uniqueId, relatedDocument.uniqueId].some((id) => isOfAnother(site, org, id));
  // What is here has been delivered as what it was taken for.
  const isLate = store.records.byKey(key).some(({ author }) => author === org);
  const row = { org, key, at: now().toISOString(), facts: relatedDocument };
  await store.commit([...changes, ...(isForeign || isLate ? [] : store.relations.add(row))]);
  if (isForeign) log("open.unrelated", { channel, peer: org, ...foreign }, "warn");
  else log("open.related", { channel, peer: org });
}
