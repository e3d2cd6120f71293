/** What a message does with each of its documents: by its event, by OBX-11 and OBR-25, and by TXA-17. */
import { fieldsOf, type MessageFacts, type Segment } from "./hl7-message.ts";

export type DocumentEvent = "new" | "addendum" | "replacement" | "cancel" | "preliminary";

const mdmEvents: ReadonlyMap<string, DocumentEvent> = new Map([
  ["T01", "new"],
  ["T02", "new"],
  ["T05", "addendum"],
  ["T06", "addendum"],
  ["T09", "replacement"],
  ["T10", "replacement"],
  ["T11", "cancel"],
]);
/** OBX-11 (HL7 Table 0085), and OBR-25 (Table 0123), whose values of the same letter say the same. */
const resultEvents: ReadonlyMap<string, DocumentEvent> = new Map([
  ["P", "preliminary"],
  ["I", "preliminary"],
  ["R", "preliminary"],
  ["S", "preliminary"],
  ["D", "cancel"],
  ["X", "cancel"],
  ["W", "cancel"],
  ["C", "replacement"],
]);

/** TXA-17 (HL7 Table 0271): dictated, incomplete, in progress. What is documented only waits for a signature, and counts. */
const draftStates: ReadonlySet<string> = new Set(["DI", "IN", "IP"]);

/** A code as tables have it: blanks fill many a field up, and some systems write small letters. */
export const coded = (value: string): string => value.trim().toUpperCase();

/** What an MDM does with its documents; undefined for other messages, where OBX-11 says it of each. */
export function mdmEvent({ messageType }: MessageFacts): DocumentEvent | undefined {
  const [type, event = ""] = messageType.split("^");
  return type === "MDM" ? (mdmEvents.get(event) ?? "new") : undefined;
}

/** For one message, whose segments it is shown in their order: what stands ahead of a document counts for it. */
export function openEvents(facts: MessageFacts): { see(segment: Segment): void; of(status: string): DocumentEvent } {
  let isDraft = false;
  let result = "";
  const at = (segment: Segment, n: number): string => coded(fieldsOf(segment, facts)[n] ?? "");
  return {
    see: (segment) => {
      if (segment.name === "TXA") isDraft ||= draftStates.has(at(segment, 17));
      else if (segment.name === "OBR") result = at(segment, 25);
    },
    /**
     * OBX-11 says of a document in any message that it is not final, or withdrawn: an MDM^T04 deletes so. Else the event of an MDM
     * counts, unless its TXA-17 says that the document is not written to its end.
     */
    of: (status) => {
      const said = resultEvents.get(coded(status) || result);
      const event = said === "preliminary" || said === "cancel" ? said : (mdmEvent(facts) ?? said ?? "new");
      return isDraft && event !== "cancel" ? "preliminary" : event;
    },
  };
}
