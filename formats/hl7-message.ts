/** HL7 v2 messages as bytes: the MSH line, segments and fields read lazily, never more than was asked for. */
import { Fault } from "../errors.ts";
import { charsetNamed, charsetOfLine, decoderOf, isReadable } from "./charset.ts";

export type Separators = {
  readonly field: string;
  readonly component: string;
  readonly repetition: string;
  readonly escape: string;
  readonly subcomponent: string;
};

/** What the MSH line says (HL7 v2.5.1 2.15.9). */
export type MessageFacts = {
  readonly separators: Separators;
  readonly sendingApplication: string;
  readonly sendingFacility: string;
  readonly receivingApplication: string;
  readonly receivingFacility: string;
  readonly dateTime: string;
  /** MSH-9.1^9.2, such as MDM^T02. */
  readonly messageType: string;
  readonly controlId: string;
  /** MSH-11.1. */
  readonly processingId: string;
  readonly version: string;
  /** MSH-15 and MSH-16; empty when blank. */
  readonly acceptAck: string;
  readonly applicationAck: string;
  /** WHATWG label. */
  readonly charset: string;
  /** MSH-18 as it was written. */
  readonly charsetField: string;
  /** Who gives a number whose authority is blank, by the configuration of its sender. */
  readonly authority?: string | undefined;
};

const maxMshBytes = 16 * 1024;
const maxSegments = 100_000;
/** Segments that are looked at for characters that cannot be read. */
const maxNamedSegments = 64;
const [cr, lf] = [0x0d, 0x0a];

/**
 * Reads the MSH line. HL7_MALFORMED when this is no message that could be answered, HL7_UNSUPPORTED for UTF-16.
 * `charset` is a name that overrides MSH-18, `authority` who gives a number that says nothing of it.
 */
export function readMsh(
  message: Uint8Array,
  options: { readonly charset?: string; readonly authority?: string | undefined } = {},
): MessageFacts {
  const facts = readMshLine(message, options.charset);
  if (!facts) throw new Fault("HL7_MALFORMED", "not an HL7 message: it does not begin with MSH");
  if (options.charset === undefined && isWide(facts.charsetField))
    throw new Fault("HL7_UNSUPPORTED", "UTF-16 over MLLP cannot be framed; send UNICODE UTF-8");
  if (facts.messageType === "") throw new Fault("HL7_MALFORMED", "MSH-9 (message type) is missing");
  if (facts.controlId === "") throw new Fault("HL7_MALFORMED", "MSH-10 (control id) is missing");
  return options.authority === undefined ? facts : { ...facts, authority: options.authority };
}

/** What an answer to these octets can say of its question, however wrong they are; undefined when they do not begin with MSH. */
export function readMshLine(message: Uint8Array, override?: string): MessageFacts | undefined {
  const head = message.subarray(0, maxMshBytes);
  const byCr = head.indexOf(cr);
  const byLf = head.subarray(0, byCr < 0 ? head.length : byCr).indexOf(lf);
  const line = byLf < 0 ? head.subarray(0, byCr < 0 ? head.length : byCr) : head.subarray(0, byLf);
  if (line.length < 9 || line[0] !== 0x4d || line[1] !== 0x53 || line[2] !== 0x48) return undefined;
  const named = charsetOfLine(line, 17);
  const charset = (override === undefined ? undefined : charsetNamed(override)) ?? named.charset;
  const field = String.fromCharCode(line[3] ?? 0);
  const fields = decoderOf(charset).decode(line).split(field);
  const [component = "^", repetition = "~", escaper = "\\", subcomponent = "&"] = fields[1] ?? "";
  const at = (n: number): string => fields[n - 1] ?? "";
  const [type = "", event = ""] = at(9)
    .split(component)
    .map((part) => part.trim());
  return {
    separators: { field, component, repetition, escape: escaper, subcomponent },
    sendingApplication: at(3),
    sendingFacility: at(4),
    receivingApplication: at(5),
    receivingFacility: at(6),
    dateTime: at(7),
    messageType: event ? `${type}^${event}` : type,
    controlId: at(10),
    processingId: at(11).split(component)[0]?.trim() || "P",
    version: at(12).split(component)[0] ?? "",
    acceptAck: at(15),
    applicationAck: at(16),
    charset,
    charsetField: named.field,
  };
}

/** UTF-16 and UTF-32 have octets of the framing inside their characters. */
const isWide = (field: string): boolean =>
  /^UNICODE(?! UTF-?8$)|^UTF-?(16|32)/i.test(
    field
      .split("~")
      .findLast((name) => name.trim() !== "")
      ?.trim() ?? "",
  );

/** What was not as it should be and is no reason to refuse: codes for the journal. */
export function findingsOf(message: Uint8Array, facts: MessageFacts): readonly ("CHARSET" | "LINE_ENDS")[] {
  const findings: ("CHARSET" | "LINE_ENDS")[] = [];
  if (message.subarray(0, maxMshBytes).includes(lf)) findings.push("LINE_ENDS");
  let seen = 0;
  for (const { name, bytes } of segments(message)) {
    seen += 1;
    if (seen > maxNamedSegments) break;
    // Documents have a charset of their own; names and addresses are what a reader misses.
    if (name !== "OBX" && !isReadable(bytes, facts.charset)) {
      findings.push("CHARSET");
      break;
    }
  }
  return findings;
}

export type Segment = { readonly name: string; readonly bytes: Uint8Array };

/** Segments in order; CR ends one, LF and CRLF are taken too. No charset used here has CR or LF inside a character. */
export function* segments(message: Uint8Array): Generator<Segment> {
  let count = 0;
  for (let start = 0; start < message.length; ) {
    const end = lineEnd(message, start);
    const bytes = message.subarray(start, end);
    start = end + 1;
    if (bytes.length < 3) continue;
    count += 1;
    if (count > maxSegments) throw new Fault("HL7_MALFORMED", `more than ${maxSegments} segments`);
    yield { name: String.fromCharCode(bytes[0] ?? 0, bytes[1] ?? 0, bytes[2] ?? 0), bytes };
  }
}

function lineEnd(message: Uint8Array, start: number): number {
  const byCr = message.indexOf(cr, start);
  const stop = byCr < 0 ? message.length : byCr;
  const byLf = message.subarray(start, stop).indexOf(lf);
  return byLf < 0 ? stop : start + byLf;
}

/** The fields of a segment as text: index 1 is field 1. */
export const fieldsOf = ({ bytes }: Segment, { charset, separators }: MessageFacts): readonly string[] =>
  decoderOf(charset).decode(bytes).split(separators.field);

export type PatientIdentifier = {
  /** CX-1. */
  readonly id: string;
  /** CX-4.1, the namespace; null when blank. */
  readonly authority: string | null;
  /** CX-4.2 where CX-4.3 is ISO, or blank and it is an OID; null otherwise. */
  readonly root: string | null;
};

const maxIdentifiers = 64;

const oid = /^[0-2](\.\d+)+$/;

/** A value without the blanks around it; `""` says that there is none (HL7 v2.5.1 2.5.3), and is nobody's number. */
export function told(value: string): string {
  const trimmed = value.trim();
  return trimmed === '""' ? "" : trimmed;
}

/** The repetitions of PID-3. */
export function patientIdentifiers(message: Uint8Array, facts: MessageFacts): readonly PatientIdentifier[] {
  for (const segment of segments(message))
    if (segment.name === "PID") return identifiersIn(fieldsOf(segment, facts)[3] ?? "", facts);
  return [];
}

/** The repetitions of a field of CX values; those without a number are none. Blanks around a value are no part of it (2.A.74, ST). */
export const identifiersIn = (field: string, facts: MessageFacts): readonly PatientIdentifier[] =>
  numbersIn(field, facts).map(({ id, namespace, universal, type }) => {
    const isIso = type === "" ? oid.test(universal) : type.toUpperCase() === "ISO";
    return { id, authority: namespace || null, root: (isIso && universal) || null };
  });

/** CX-1, 4.1, 4.2, 4.3 and 5, without blanks and escapes. */
type WrittenNumber = Readonly<Record<"id" | "namespace" | "universal" | "type" | "typeCode", string>>;

/** What a number has in CX-5 that a system gives by itself (HL7 Table 0203): a medical record number, or its own of the patient. */
const ownTypes: ReadonlySet<string> = new Set(["", "MR", "PI"]);

/** The values of a field of CX. The first that names nobody is of who gives such, where the configuration says so. */
export function numbersIn(field: string, facts: MessageFacts): readonly WrittenNumber[] {
  const { repetition, component, subcomponent } = facts.separators;
  const text = (value: string): string => told(unescapeText(value, facts));
  const numbers = field
    .split(repetition)
    .slice(0, maxIdentifiers)
    .map((cx): WrittenNumber => {
      const [id = "", , , authority = "", typeCode = ""] = cx.split(component);
      const [namespace = "", universal = "", type = ""] = authority.split(subcomponent).map(text);
      return { id: text(id), namespace, universal, type, typeCode: text(typeCode) };
    })
    .filter(({ id }) => id !== "");
  const { authority: namespace } = facts;
  if (namespace === undefined) return numbers;
  const own = numbers.find((each) => each.namespace + each.universal === "" && ownTypes.has(each.typeCode));
  return numbers.map((each) => (each === own ? { ...each, namespace } : each));
}

/** Separators, octets, highlighting, formatting, charsets and what is locally defined (HL7 v2.5.1 2.7). */
const escapeSequence =
  /^(?:[FSTREHN]|X(?:[0-9A-Fa-f]{2})+|\.(?:br|sp|fi|nf|in|ti|sk|ce)[+-]?\d*|[CM][0-9A-F]{4,6}|Z[0-9A-F]{2,4})$/;

/** Text without its escapes; one that is not text is dropped. What only looks like one is text: many a system escapes no backslash. */
export function unescapeText(text: string, { separators, charset }: MessageFacts): string {
  const { escape: escaper, field, component, repetition, subcomponent } = separators;
  if (!text.includes(escaper)) return text;
  const plain: Readonly<Record<string, string>> = {
    F: field,
    S: component,
    R: repetition,
    T: subcomponent,
    E: escaper,
    ".br": "\r",
  };
  const [first = "", ...pieces] = text.split(escaper);
  const found: string[] = [first];
  let octets = "";
  const flush = (): void => {
    if (octets !== "") found.push(decoderOf(charset).decode(Buffer.from(octets, "hex")));
    octets = "";
  };
  for (let at = 0; at < pieces.length; at += 1) {
    const piece = pieces[at] ?? "";
    if (at + 1 === pieces.length || !escapeSequence.test(piece)) {
      flush();
      found.push(escaper, piece);
      continue;
    }
    // Octets one after the other may be one character.
    if (piece.startsWith("X")) octets += piece.slice(1);
    else {
      flush();
      found.push(plain[piece] ?? "");
    }
    at += 1;
    const behind = pieces[at] ?? "";
    if (behind !== "") {
      flush();
      found.push(behind);
    }
  }
  flush();
  return found.join("");
}

/** A value as it may stand in a field: no separator, no CR (HL7 v2.5.1 2.7.1). */
export function escapeText(
  text: string,
  { field, component, repetition, escape: escaper, subcomponent }: Separators,
): string {
  const letters: Readonly<Record<string, string>> = {
    [field]: "F",
    [component]: "S",
    [repetition]: "R",
    [escaper]: "E",
    [subcomponent]: "T",
    "\r": "X0D",
    "\n": "X0A",
    "\u000b": "X0B",
    "\u001c": "X1C",
  };
  return [...text]
    .map((character) => (letters[character] ? `${escaper}${letters[character]}${escaper}` : character))
    .join("");
}

const formats = new Map<string, Intl.DateTimeFormat>();

/** Made once a zone: making one takes longer than everything else that an acknowledgement costs. */
function formatOf(timeZone: string): Intl.DateTimeFormat {
  const known = formats.get(timeZone);
  if (known) return known;
  const format = new Intl.DateTimeFormat("sv-SE", { timeZone, dateStyle: "short", timeStyle: "medium" });
  formats.set(timeZone, format);
  return format;
}

/** YYYYMMDDHHMMSS+ZZZZ on the clocks of a time zone (IANA name). */
export function hl7Time(at: Date, timeZone = "UTC"): string {
  if (timeZone === "UTC") return `${at.toISOString().slice(0, 19).replaceAll(/\D/g, "")}+0000`;
  const local = formatOf(timeZone).format(at);
  const minutes = Math.round((Date.parse(`${local.replace(" ", "T")}Z`) - at.getTime()) / 60_000);
  const offset = `${String(Math.floor(Math.abs(minutes) / 60)).padStart(2, "0")}${String(Math.abs(minutes) % 60).padStart(2, "0")}`;
  return `${local.replaceAll(/\D/g, "")}${minutes < 0 ? "-" : "+"}${offset}`;
}
