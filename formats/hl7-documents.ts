/** How documents travel in messages: ED values in OBX-5, as Base64, escaped text or a MIME package (CDA R2 3). */
import { createHash } from "node:crypto";
import { Fault, orFault } from "../errors.ts";
import { decoderOf, isReadable } from "./charset.ts";
import { beginsWith, contradiction, isClinical, type Kind, kindOf } from "./document-kind.ts";
import { coded, type DocumentEvent, mdmEvent, openEvents } from "./hl7-events.ts";
import { fieldsOf, type MessageFacts, type Segment, segments, unescapeText } from "./hl7-message.ts";
import { fromText, malformed, splitAfterDecoding } from "./hl7-text.ts";
import { readZip } from "./zip.ts";

export type Embedded = {
  /** `reference`: only where a document is; its octets are that address. `unread`: what is withdrawn (TXA-12 may name it) and is not what it says. */
  readonly kind: "cda" | "pdf" | "reference" | "unread" | "other";
  /** OBX-1. */
  readonly obx: string;
  readonly bytes: Uint8Array;
  /** Why it is `unread`. */
  readonly fault?: Fault;
};

/** One of a message, with what its message does with it. */
export type EmbeddedDocument = Embedded & { readonly event: DocumentEvent };

const maxDocuments = 100;
const encapsulated = "ED";
const referencePointer = "RP";
/** Types under which some systems send a clinical document, too. */
const textTypes: ReadonlySet<string> = new Set(["FT", "TX", "ST"]);
/** Data that only say where the data are. */
const address = /^(https?|ftps?|file):\/\//i;

/** What a message does with its document, the first where there are several. */
export function documentEvent(facts: MessageFacts, message: Uint8Array): DocumentEvent {
  const events = openEvents(facts);
  for (const segment of segments(message)) {
    events.see(segment);
    if (segment.name !== "OBX") continue;
    const obx = parse(segment, facts);
    if (isDocument(obx)) return events.of(obx.status);
  }
  return mdmEvent(facts) ?? "new";
}

/** OBX-1 (SI, four digits); another text there is told nobody: it may be anything, and of any length. */
const setId = /^\d{1,4}$/;

/** The documents of a message; DOCUMENT_MALFORMED names the OBX whose value is not what it says. */
export function embeddedDocuments(message: Uint8Array, facts: MessageFacts): readonly EmbeddedDocument[] {
  const found: EmbeddedDocument[] = [];
  /** The document that the line before belongs to. */
  let before: string | undefined;
  const events = openEvents(facts);
  for (const segment of segments(message)) {
    // The rest of its value: without it half a document might be taken for a whole one.
    if (before !== undefined && !isSegment(segment, facts))
      throw malformed(before, "a line end stands in its value; send it as \\.br\\, or Base64 without lines");
    before = undefined;
    events.see(segment);
    if (segment.name !== "OBX") continue;
    const obx = parse(segment, facts);
    const { type, value } = obx;
    const id = setId.test(obx.id) ? obx.id : "";
    if (type === encapsulated && isShifted(segment, value, facts))
      throw malformed(id, "its text is not in the character set of its message, and hides its value; correct MSH-18");
    if ((type !== referencePointer && !isDocument(obx)) || value.length === 0) continue;
    if (found.length >= maxDocuments)
      throw new Fault("DOCUMENT_MALFORMED", `more than ${maxDocuments} documents in one message`);
    before = id;
    const event = events.of(obx.status);
    const carried = orFault((): readonly Embedded[] => {
      if (type === referencePointer) return [pointer(id, value, facts)];
      return type === encapsulated ? documentsOf(id, value, facts) : documentsIn(id, plain(id, value, facts), facts);
    });
    if (carried instanceof Fault && event !== "cancel") throw carried;
    const read: readonly Embedded[] =
      carried instanceof Fault ? [{ kind: "unread", obx: id, bytes: new Uint8Array(), fault: carried }] : carried;
    found.push(...read.map((each) => ({ ...each, event })));
  }
  return found;
}

/** A name and a separator, or a name alone. */
const isSegment = ({ bytes }: Segment, { separators }: MessageFacts): boolean =>
  bytes.length === 3 || bytes[3] === separators.field.charCodeAt(0);

const leastHidden = 1024;
/** Octets of a charset that MSH-18 does not name look like separators: what is in OBX-5 then is not the document. */
const isShifted = ({ bytes }: Segment, value: Uint8Array, { charset }: MessageFacts): boolean =>
  bytes.length > leastHidden && value.length < bytes.length / 2 && !isReadable(bytes, charset);

const isDocument = ({ type, value }: Obx): boolean =>
  type === encapsulated || (textTypes.has(type) && isClinical(value));

type Obx = { readonly id: string; readonly type: string; readonly value: Uint8Array; readonly status: string };

/** OBX-1, OBX-2, OBX-5 and OBX-11; a value in a charset that can be split as bytes never becomes a string. */
function parse(segment: Segment, facts: MessageFacts): Obx {
  if (splitAfterDecoding.has(facts.charset)) {
    const fields = fieldsOf(segment, facts);
    return {
      id: fields[1] ?? "",
      type: coded(fields[2] ?? ""),
      value: Buffer.from(fields[5] ?? "", "utf8"),
      status: fields[11] ?? "",
    };
  }
  const fields: Uint8Array[] = [];
  const separator = facts.separators.field.charCodeAt(0);
  for (let start = 0; start <= segment.bytes.length && fields.length < 12; ) {
    const at = segment.bytes.indexOf(separator, start);
    const end = at < 0 ? segment.bytes.length : at;
    fields.push(segment.bytes.subarray(start, end));
    start = end + 1;
  }
  const text = (n: number) => Buffer.from(fields[n] ?? new Uint8Array()).toString("latin1");
  return { id: text(1), type: coded(text(2)), value: fields[5] ?? new Uint8Array(), status: text(11) };
}

/** ED: source ^ type ^ subtype ^ encoding ^ data; a bare payload in the first component is taken too. */
function documentsOf(obx: string, value: Uint8Array, facts: MessageFacts): readonly Embedded[] {
  const separator = facts.separators.component.charCodeAt(0);
  const components: Uint8Array[] = [];
  let start = 0;
  for (let i = 0; i < 4; i += 1) {
    const at = value.indexOf(separator, start);
    if (at < 0) break;
    components.push(value.subarray(start, at));
    start = at + 1;
  }
  const data = value.subarray(start);
  const [, type = "", subtype = "", encoding = ""] = components.map((bytes) =>
    Buffer.from(bytes).toString("latin1").trim().toLowerCase(),
  );
  if (encoding !== "base64" && address.test(Buffer.from(data.subarray(0, 16)).toString("latin1")))
    return [reference(obx, data, facts)];
  const read = encoding === "base64" ? fromBase64 : components.length < 4 ? plain : fromText;
  const bytes = read(obx, data, facts);
  if (type.startsWith("multipart") || subtype === "related") return packaged(obx, bytes, facts);
  return documentsIn(obx, bytes, facts, subtype);
}

/** What octets are, whatever they came as: a MIME or ZIP package with its documents, or one document. */
export function documentsIn(obx: string, bytes: Uint8Array, facts: MessageFacts, subtype = ""): readonly Embedded[] {
  if (beginsWith(bytes, "MIME-Version:")) return packaged(obx, bytes, facts);
  return sniffed(obx, bytes, subtype) === "zip" ? zipped(obx, bytes) : [classified(obx, bytes, subtype)];
}

/** RP: pointer ^ application ^ type ^ subtype (HL7 v2.5.1 2.A.63). */
function pointer(obx: string, value: Uint8Array, facts: MessageFacts): Embedded {
  const at = value.indexOf(facts.separators.component.charCodeAt(0));
  return reference(obx, at < 0 ? value : value.subarray(0, at), facts);
}

function reference(obx: string, written: Uint8Array, facts: MessageFacts): Embedded {
  const charset = splitAfterDecoding.has(facts.charset) ? "utf-8" : facts.charset;
  const text = unescapeText(decoderOf(charset).decode(written), facts).trim();
  return { kind: "reference", obx, bytes: Buffer.from(text, "utf8") };
}

/** Nothing is said of how it is written. */
const plain = (obx: string, data: Uint8Array, facts: MessageFacts): Uint8Array =>
  isBase64(data, facts) ? fromBase64(obx, data, facts) : fromText(obx, data, facts);

/** Nothing else is said of it: it is the alphabet, once line ends are away, and whole. */
function isBase64(data: Uint8Array, facts: MessageFacts): boolean {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.length);
  if (bytes.length === 0 || bytes.includes("<")) return false;
  const text = withoutLines(bytes.toString("latin1"), facts);
  return text.length % 4 === 0 && /^[A-Za-z0-9+/]+={0,2}$/.test(text);
}

function withoutLines(written: string, { separators }: MessageFacts): string {
  let text = written;
  if (text.includes(separators.escape))
    text = text.replaceAll(`${separators.escape}.br${separators.escape}`, "").replaceAll(/\\X0[DA]\\|\\X0D0A\\/g, "");
  return /\s/.test(text) ? text.replaceAll(/\s+/g, "") : text;
}

/** Strict: white space and \.br\ between lines are dropped, anything else that is not the alphabet is refused. */
function fromBase64(obx: string, data: Uint8Array, facts: MessageFacts): Uint8Array {
  const text = withoutLines(Buffer.from(data.buffer, data.byteOffset, data.length).toString("latin1"), facts);
  const bytes = Buffer.from(text, "base64");
  const isExact =
    text.length % 4 === 0 &&
    bytes.length === (text.length / 4) * 3 - (text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0);
  if (!isExact || bytes.length === 0 || bytes.toString("base64") !== text)
    throw malformed(obx, "its Base64 is not valid");
  return bytes;
}

/** A MIME package: its first XML part is the document (CDA R2 3, RFC 2557). */
function packaged(obx: string, bytes: Uint8Array, facts: MessageFacts): readonly Embedded[] {
  const whole = Buffer.from(bytes);
  const head = whole.subarray(0, 4096).toString("latin1");
  const [, boundary] = /boundary="?([^"\r\n;]{1,70})"?/i.exec(head) ?? [];
  if (!boundary) throw malformed(obx, "a multipart package without a boundary");
  const documents: Embedded[] = [];
  const mark = `--${boundary}`;
  for (let at = whole.indexOf(mark); at >= 0 && documents.length < maxDocuments; ) {
    const next = whole.indexOf(mark, at + mark.length);
    if (next < 0) break;
    const part = whole.subarray(at + mark.length, next);
    const blank = /\r?\n\r?\n/.exec(part.subarray(0, 8192).toString("latin1"));
    if (blank) {
      const headers = part.subarray(0, blank.index).toString("latin1").toLowerCase();
      let body: Buffer = part.subarray(blank.index + blank[0].length);
      body = body.subarray(0, body.length - (body.at(-2) === 0x0d ? 2 : 1));
      const isEncoded = /content-transfer-encoding:\s*base64/.test(headers);
      documents.push(classified(obx, isEncoded ? fromBase64(obx, body, facts) : body, ""));
    }
    at = next;
  }
  if (documents.length === 0) throw malformed(obx, "a multipart package without a part");
  return documents;
}

/** The document of an IHE XDM package under this name, or else every XML in it that is no metadata. */
const xdmDocument = /(^|\/)CDA_ROOT\.XML$/i;
const xdmIndex = /(^|\/)(METADATA\.XML|README\.TXT|INDEX\.HTM|[^/]*\.XSLT?)$/i;
const xdmSignature = /(^|\/)[^/]*SIG[^/]*\.XML$|(^|\/)META-INF\//i;

/** A ZIP package (IHE XDM): the documents in it, then what is beside them; its index and style sheets stay behind. */
function zipped(obx: string, bytes: Uint8Array): readonly Embedded[] {
  const entries = readZip(bytes).filter(({ name }) => !xdmIndex.test(name));
  const xml = entries.filter(({ name }) => /\.xml$/i.test(name) && !xdmSignature.test(name));
  const named = xml.filter(({ name }) => xdmDocument.test(name));
  const documents = named.length > 0 ? named : xml;
  if (documents.length === 0) throw malformed(obx, "a ZIP package without a document; CDA_ROOT.XML is expected");
  // What is beside them is told, so that nothing is dropped unseen.
  const beside = entries.filter((entry) => !documents.includes(entry));
  return [
    ...documents.map((entry) => classified(obx, entry.read(), "xml")),
    ...beside.map((entry): Embedded => {
      const content = entry.read();
      return { kind: beginsWith(content, "%PDF") ? "pdf" : "other", obx, bytes: content };
    }),
  ];
}

/** What it is; what is said of it must not contradict that. */
function sniffed(obx: string, bytes: Uint8Array, subtype: string): Kind {
  const kind = kindOf(bytes);
  const wrong = contradiction(subtype, kind);
  if (wrong) throw malformed(obx, wrong);
  return kind;
}

function classified(obx: string, bytes: Uint8Array, subtype: string): Embedded {
  const kind = sniffed(obx, bytes, subtype);
  if (subtype === "xml" && kind === "other") return { kind: "cda", obx, bytes };
  return { kind: kind === "zip" ? "other" : kind, obx, bytes };
}

/** The message with each document replaced by its digest and size: what the journal keeps once the document is durable. */
export function payloadlessFrame(message: Uint8Array, facts: MessageFacts): Uint8Array {
  const lines: Uint8Array[] = [];
  for (const segment of segments(message)) {
    const obx = segment.name === "OBX" ? parse(segment, facts) : undefined;
    lines.push(
      obx && obx.value.length > 0 && isDocument(obx) ? digested(obx, facts) : segment.bytes,
      Uint8Array.of(0x0d),
    );
  }
  return Buffer.concat(lines);
}

function digested({ id, type, value }: Obx, { separators: { field } }: MessageFacts): Uint8Array {
  const digest = createHash("sha256").update(value).digest("hex");
  return Buffer.from(["OBX", id, type, "", "", `sha256:${digest};${value.length}`].join(field));
}
