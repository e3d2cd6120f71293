/**
 * What a pushed document replaces, or is added to, where its message says so and it does not itself (decision 37): told to the partner
 * ahead of each attempt to push it, and there (`related.ts`) part of its entry when it comes.
 */
import { contentOf } from "../envelope/index.ts";
import { codeOf } from "../errors.ts";
import { type Command, commandMediaType, writeCommand } from "../formats/command.ts";
import type { DocumentEntry } from "../formats/document-entry.ts";
import type { Change, Delivery, StoredRecord, Token } from "../store/store.ts";
import { ask } from "./partner.ts";
import { type Site, step } from "./site.ts";

export type Relation = Command<"relation">["relatedDocument"];

/** What goes with a push, sealed in its delivery. */
export type PushPayload = { readonly relation: Relation };

/** False where a partner does not take it: a house of before has no such resource. It is pushed the record all the same. */
export async function tellRelation(
  site: Site,
  { destination, payload }: Delivery,
  { entry }: StoredRecord,
): Promise<boolean> {
  const { relation } = (payload ?? {}) as Partial<PushPayload>;
  if (!relation) return true;
  const { uniqueId } = entry as DocumentEntry;
  const command = writeCommand<"relation">({ command: "relation", uniqueId, relatedDocument: relation });
  try {
    await ask(site, destination, {
      path: "/repository/relations",
      purpose: "notify",
      message: site.store.newId(),
      messageType: "relation",
      content: [await contentOf(command, "command", commandMediaType)],
      answers: ["response"],
    });
    return true;
  } catch (thrown) {
    if (codeOf(thrown) !== "PEER_REFUSED") throw thrown;
    return false;
  }
}

/** Whether a document is here, and its author is another house. */
export function isOfAnother({ store }: Site, author: string, uniqueId: string): boolean {
  const held = store.records.byKey(store.tokens.of("document", "", uniqueId));
  return held.length > 0 && held.every((record) => record.author !== author);
}

/** What the author of a document has told of it; nothing where it turns out to be about another house's. */
export function relationOf(site: Site, author: string, key: Token): Relation | undefined {
  const relation = site.store.relations.find(author, key) as Relation | undefined;
  return relation && !isOfAnother(site, author, relation.uniqueId) ? relation : undefined;
}

/** It has become part of a record's entry. */
export const used = (site: Site, { id, author, key }: StoredRecord, { type }: Relation): readonly Change[] => [
  site.store.relations.drop(author, key),
  step(site, id, "open", "related", { peer: author, detail: type }),
];
