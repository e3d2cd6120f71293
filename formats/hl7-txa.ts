/** Which document a message is about, where no document says it: TXA-12 and TXA-13 (HL7 v2.5.1 9.6.3). */
import { fieldsOf, type MessageFacts, segments, unescapeText } from "./hl7.ts";

/** An entity identifier (EI) as its sender writes it, and the unique ids of documents that it may stand for. */
export type DocumentName = { readonly written: string; readonly uniqueIds: readonly string[] };

/** TXA-12, the document, and TXA-13, the one it replaces or appends to. */
export function documentNames(
  message: Uint8Array,
  facts: MessageFacts,
): { readonly own: DocumentName | null; readonly parent: DocumentName | null } {
  for (const segment of segments(message)) {
    if (segment.name !== "TXA") continue;
    const fields = fieldsOf(segment, facts);
    return { own: nameOf(fields[12] ?? "", facts), parent: nameOf(fields[13] ?? "", facts) };
  }
  return { own: null, parent: null };
}

/** EI-1 alone, or under the OID of EI-3, as documents name themselves: root, or root:extension. */
function nameOf(field: string, facts: MessageFacts): DocumentName | null {
  const { component, repetition } = facts.separators;
  const [first = ""] = field.split(repetition);
  const [id = "", namespace = "", universal = ""] = first.split(component).map((each) => unescapeText(each, facts));
  if (id === "") return null;
  return {
    written: [id, namespace, universal].join("^"),
    uniqueIds: universal === "" ? [id] : [`${universal}:${id}`, id],
  };
}
