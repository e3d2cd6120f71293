/** A document that stands in a message as escaped text (HL7 v2.5.1 2.7): read strictly, for what cannot be read would be lost in it unseen. */
import { Fault } from "../errors.ts";
import { charsetNamed, decoderOf, encodeText, isReadable, withTrailBytes } from "./charset.ts";
import { type MessageFacts, unescapeText } from "./hl7-message.ts";

/** A value longer than this is not searched as text. */
const maxTextBytes = 64 * 1024 * 1024;
/** Charsets whose trail octets include separators: they are decoded before they are split, and come here in UTF-8. */
export const splitAfterDecoding = new Set<string>(withTrailBytes);
/** What a decoder writes for what it cannot read. */
const unread = "\ufffd";

export const malformed = (obx: string, what: string): Fault =>
  new Fault("DOCUMENT_MALFORMED", `OBX ${obx || "?"}: ${what}`);

/** The document's octets; DOCUMENT_MALFORMED for text that is not of its message's charset, or has no octets in its own. */
export function fromText(obx: string, data: Uint8Array, facts: MessageFacts): Uint8Array {
  if (data.length > maxTextBytes)
    throw new Fault("TOO_LARGE", `a document as text over ${maxTextBytes} octets; send it as Base64`);
  const charset = splitAfterDecoding.has(facts.charset) ? "utf-8" : facts.charset;
  const text = unescapeText(decoderOf(charset).decode(data), facts);
  if (text.includes(unread) && !isWritten(data, facts))
    throw malformed(obx, "its text is not in the character set of its message; correct MSH-18, or send it as Base64");
  return asDeclared(obx, text);
}

/** Whether the sender itself has written that character, in a charset that has it. */
const isWritten = (data: Uint8Array, { charset }: MessageFacts): boolean =>
  !splitAfterDecoding.has(charset) && isReadable(data, charset) && decoderOf(charset).decode(data).includes(unread);

/** An XML document that comes as text is octets of the encoding that it declares (XML 1.0 4.3.3). */
function asDeclared(obx: string, text: string): Uint8Array {
  const [, declared = "utf-8"] =
    /^\ufeff?\s*<\?xml[^>]{0,200}?\sencoding=["']([A-Za-z][\w.:-]{0,40})["']/.exec(text) ?? [];
  const charset = charsetNamed(declared);
  if (charset === undefined) throw malformed(obx, "it declares an encoding that text in a message cannot have");
  const { bytes, replaced } = encodeText(text, charset);
  if (replaced > 0) throw malformed(obx, "its text has characters that the encoding it declares has not");
  return bytes;
}
