/** Acknowledgements (HL7 v2.5.1 2.9): which are due by MSH-15/16, and how they are written. */
import { encodeText } from "./charset.ts";
import { escapeText, hl7Time, type MessageFacts, type Separators } from "./hl7-message.ts";

export type AckCode = "AA" | "AE" | "AR" | "CA" | "CE" | "CR";
/** ERR-3 (HL7 Table 0357) and ERR-8, a text for people without patient data. */
export type AckError = { readonly code: string; readonly text: string };

/** Which acknowledgements a message asks for: `original` mode when both fields are blank. */
export function acksOf({ acceptAck, applicationAck }: MessageFacts): {
  readonly commit: (isAccepted: boolean) => boolean;
  readonly application: (isAccepted: boolean) => boolean;
} {
  // What the table does not have is blank, such as `""` where a system has nothing to say: unanswered, it would repeat for ever.
  const [commit, application] = [acceptAck, applicationAck].map((value) => rules.get(value.trim().toUpperCase()));
  if (!commit && !application) return { commit: () => false, application: () => true };
  const never = () => false;
  return { commit: commit ?? never, application: application ?? never };
}

/** HL7 Table 0155; blank beside a filled one means never. */
const rules = new Map<string, (isAccepted: boolean) => boolean>([
  ["AL", () => true],
  ["NE", () => false],
  ["SU", (isAccepted) => isAccepted],
  ["ER", (isAccepted) => !isAccepted],
]);

const maxErrors = 16;
const maxText = 250;

/**
 * An acknowledgement of this message: the sender's separators, version and charset, MSA-2 its control id. `facts` is undefined
 * for what could not be read as a message: then MSA-2 is empty and the usual separators are used.
 */
export function buildAck(
  facts: MessageFacts | undefined,
  answer: {
    readonly code: AckCode;
    readonly controlId: string;
    readonly now: Date;
    readonly errors?: readonly AckError[];
  },
): Uint8Array {
  const separators = facts?.separators ?? {
    field: "|",
    component: "^",
    repetition: "~",
    escape: "\\",
    subcomponent: "&",
  };
  const { field, component } = separators;
  const event = facts?.messageType.split("^")[1];
  const msh = [
    buildHead("MSH", separators),
    facts?.receivingApplication ?? "",
    facts?.receivingFacility ?? "",
    facts?.sendingApplication ?? "",
    facts?.sendingFacility ?? "",
    hl7Time(answer.now),
    "",
    event ? ["ACK", event, "ACK"].join(component) : "ACK",
    answer.controlId,
    facts?.processingId ?? "P",
    facts?.version || "2.5.1",
    ...(facts?.charsetField ? ["", "", "", "", "", facts.charsetField] : []),
  ].join(field);
  const msa = ["MSA", answer.code, facts?.controlId ?? ""].join(field);
  const severity = answer.code === "AA" || answer.code === "CA" ? "W" : "E";
  const errors = (answer.errors ?? []).slice(0, maxErrors).map(({ code, text }) => {
    const told = escapeText(text.slice(0, maxText), separators);
    return ["ERR", "", "", [code, "", "HL70357"].join(component), severity, "", "", told].join(field);
  });
  // ASCII but for echoed MSH fields, which the sender's own charset can write.
  return encodeText([msh, msa, ...errors].map((line) => `${line}\r`).join(""), facts?.charset ?? "utf-8").bytes;
}

/** The first two fields of MSH, BHS or FHS, which say what separates all others. */
export const buildHead = (name: string, { field, component, repetition, escape: escaper, subcomponent }: Separators) =>
  `${name}${field}${component}${repetition}${escaper}${subcomponent}`;
