/** Which document a message is about, where no document says it: TXA-12 and TXA-13 (HL7 v2.5.1 9.6.3). */
import { fieldsOf, type MessageFacts, segments, unescapeText } from "./hl7.ts";

/** An entity identifier (EI) as its sender writes it, and the unique ids of documents that it may stand for. */
export type DocumentName = { readonly written: string; readonly uniqueIds: readonly string[] };

export type DocumentNames = {
  /** TXA-12, the document. */
  readonly own: DocumentName | null;
  /** TXA-13, the one it replaces or appends to. */
  readonly parent: DocumentName | null;
  /** Placer and filler order numbers (TXA-14, TXA-15, ORC-2, ORC-3, OBR-2, OBR-3), without who gave them. */
  readonly orders: readonly string[];
};

const orderFields: Readonly<Record<string, readonly number[]>> = { TXA: [14, 15], ORC: [2, 3], OBR: [2, 3] };
const maxOrders = 64;

/** What a message says of its document. */
export function documentNames(message: Uint8Array, facts: MessageFacts): DocumentNames {
  const { component, repetition } = facts.separators;
  let names: Pick<DocumentNames, "own" | "parent"> | undefined;
  const orders = new Set<string>();
  for (const segment of segments(message)) {
    const numbers = orderFields[segment.name];
    if (!numbers) continue;
    const fields = fieldsOf(segment, facts);
    if (segment.name === "TXA")
      names ??= { own: nameOf(fields[12] ?? "", facts), parent: nameOf(fields[13] ?? "", facts) };
    for (const number of numbers.flatMap((at) => (fields[at] ?? "").split(repetition))) {
      const [id = ""] = number.split(component);
      if (id !== "" && orders.size < maxOrders) orders.add(unescapeText(id, facts));
    }
  }
  return { own: null, parent: null, ...names, orders: [...orders] };
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
