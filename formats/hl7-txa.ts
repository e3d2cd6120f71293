/** Which document a message is about, where no document says it: TXA-12 and TXA-13 (HL7 v2.5.1 9.6.3). */
import type { CdaFacts } from "./cda.ts";
import { fieldsOf, type MessageFacts, segments, unescapeText } from "./hl7.ts";
import { told } from "./hl7-message.ts";

/** An entity identifier (EI) as its sender writes it, and the unique ids of documents that it may stand for. */
export type DocumentName = { readonly written: string; readonly uniqueIds: readonly string[] };

export type DocumentNames = {
  /** TXA-12, the document. */
  readonly own: DocumentName | null;
  /** TXA-13, the one it replaces or appends to. */
  readonly parent: DocumentName | null;
  /** TXA-18 (HL7 Table 0272); empty where it says nothing. */
  readonly confidentiality: string;
  /** Placer and filler order numbers (TXA-14, TXA-15, ORC-2, ORC-3, OBR-2, OBR-3), without who gave them. */
  readonly orders: readonly string[];
};

const orderFields: Readonly<Record<string, readonly number[]>> = { TXA: [14, 15], ORC: [2, 3], OBR: [2, 3] };
const maxOrders = 64;

/** What a message says of its document. */
export function documentNames(message: Uint8Array, facts: MessageFacts): DocumentNames {
  const { component, repetition } = facts.separators;
  let names: Omit<DocumentNames, "orders"> | undefined;
  const orders = new Set<string>();
  for (const segment of segments(message)) {
    const numbers = orderFields[segment.name];
    if (!numbers) continue;
    const fields = fieldsOf(segment, facts);
    if (segment.name === "TXA")
      names ??= {
        own: nameOf(fields[12] ?? "", facts),
        parent: nameOf(fields[13] ?? "", facts),
        confidentiality: fields[18]?.split(component)[0]?.trim() ?? "",
      };
    for (const number of numbers.flatMap((at) => (fields[at] ?? "").split(repetition))) {
      const [id = ""] = number.split(component);
      if (told(id) !== "" && orders.size < maxOrders) orders.add(unescapeText(id, facts));
    }
  }
  return { own: null, parent: null, confidentiality: "", ...names, orders: [...orders] };
}

/** What a message calls its document (TXA-12), for the order of messages: a cancellation need not name the patient. */
export function documentNamed(message: Uint8Array, facts: MessageFacts): readonly string[] {
  for (const segment of segments(message)) {
    if (segment.name === "OBX") break;
    if (segment.name !== "TXA") continue;
    const own = nameOf(fieldsOf(segment, facts)[12] ?? "", facts);
    return own ? [`TXA ${own.written}`] : [];
  }
  return [];
}

/** EI-1 alone, or under the OID of EI-3, or that alone, as documents name themselves: root, or root^extension. */
function nameOf(field: string, facts: MessageFacts): DocumentName | null {
  const { component, repetition } = facts.separators;
  const [first = ""] = field.split(repetition);
  const [id = "", namespace = "", universal = ""] = first
    .split(component)
    .map((each) => told(unescapeText(each, facts)));
  if (id === "" && universal === "") return null;
  const uniqueIds = id === "" || universal === "" ? [id || universal] : [`${universal}^${id}`, id];
  return { written: [id, namespace, universal].join("^"), uniqueIds };
}

/** Where TXA contradicts its document, which wins: another id under the same root, another original, less or more confidential. */
export function differing({ own, parent, confidentiality }: DocumentNames, cda: CdaFacts): string | null {
  const original = cda.relatedDocuments.find(({ type }) => type !== "XFRM");
  const isOther = (name: DocumentName | null, uniqueId: string | undefined): boolean => {
    const [full = "", short] = name?.uniqueIds ?? [];
    const [root = ""] = full.split("^");
    return short !== undefined && uniqueId !== full && (uniqueId ?? "").startsWith(`${root}^`);
  };
  const level = levels.get(confidentiality);
  const fields = [
    isOther(own, cda.uniqueId) ? "TXA-12" : "",
    isOther(parent, original?.uniqueId) ? "TXA-13" : "",
    level !== undefined && cda.confidentialityCode !== null && level !== cda.confidentialityCode ? "TXA-18" : "",
  ].filter((field) => field !== "");
  return fields.length > 0 ? `TXA_DIFFERS ${fields.join(", ")}` : null;
}

/** Usual control, restricted and very restricted, as HL7 v3 Confidentiality. */
const levels: ReadonlyMap<string, string> = new Map([
  ["U", "N"],
  ["R", "R"],
  ["V", "V"],
]);
