/**
 * The markup of a document before any parser sees it: its encoding is one that is read here and the one it declares, it has no
 * DOCTYPE, and the parser's work is bounded by counts. The same walk tells where, line and column, an element begins.
 */
import { Fault } from "../errors.ts";

/** Largest document, octets. */
export const maxCdaBytes = 64 * 1024 * 1024;
export const maxElements = 200_000;
export const maxAttributes = 400_000;
export const maxAttributesOfElement = 128;
/** Nested elements; libxml2's own limit without XML_PARSE_HUGE, which is on for documents with a large PDF in them. */
export const maxDepth = 256;
/** Character and entity references. */
export const maxReferences = 100_000;

/** The document one unit a character: octets as Latin-1, or UTF-16 units. Its markup is ASCII in every encoding taken. */
export type Markup = { readonly text: string; readonly encoding: string };

/** Encodings in which no octet of another character looks like markup (ISO-2022, UTF-7 and EBCDIC are not among them). */
const readable =
  /^(utf-?8|us-ascii|ascii|iso[-_]?8859-\d{1,2}|windows-125\d|big5(-hkscs)?|gb2312|gbk|gb18030|euc-(jp|kr|tw)|shift_jis)$/i;
const utf16 = /^(utf-?16(le|be)?|ucs-2|iso-10646-ucs-2)$/i;
const declaration = /^<\?xml\s[^>]{0,200}?encoding\s*=\s*["']([^"']{0,64})["']/;

const refuse = (what: string): Fault => new Fault("CDA_INVALID", what);

/** CDA_INVALID or TOO_LARGE says which limit or rule is broken; nothing is quoted. */
export function markupOf(bytes: Uint8Array): Markup {
  if (bytes.length > maxCdaBytes) throw new Fault("TOO_LARGE", `the document is over ${maxCdaBytes} octets`);
  const markup = decoded(bytes);
  count(markup.text);
  return markup;
}

function decoded(bytes: Uint8Array): Markup {
  const octets = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const wide = wideOf(octets);
  const hasUtf8Mark = octets.subarray(0, 3).equals(Buffer.of(0xef, 0xbb, 0xbf));
  const text = wide ? new TextDecoder(wide).decode(octets) : octets.subarray(hasUtf8Mark ? 3 : 0).toString("latin1");
  const [, declared] = declaration.exec(text.slice(0, 300)) ?? [];
  if (declared !== undefined && !readable.test(declared) && !utf16.test(declared))
    throw refuse("the declared encoding is not one that is read here; send UTF-8");
  const isWide = declared !== undefined && utf16.test(declared);
  if (declared !== undefined && (isWide !== (wide !== undefined) || (hasUtf8Mark && !/^utf-?8$/i.test(declared))))
    throw refuse("the declared encoding is not the one that the first octets show");
  return { text, encoding: wide ?? declared?.toLowerCase() ?? "utf-8" };
}

/** XML 1.0 appendix F: a byte order mark, or the first character in two octets. */
function wideOf(octets: Buffer): "utf-16le" | "utf-16be" | undefined {
  const first = octets.subarray(0, 4).toString("hex");
  if (/^(0000feff|fffe0000|0000003c|3c000000)/.test(first)) throw refuse("UTF-32 is not read here; send UTF-8");
  if (/^(fffe|3c00)/.test(first)) return "utf-16le";
  return /^(feff|003c)/.test(first) ? "utf-16be" : undefined;
}

function count(text: string): void {
  let [elements, attributes, depth] = [0, 0, 0];
  for (const tag of tagsOf(text)) {
    if (tag.kind === "end") {
      depth -= 1;
      continue;
    }
    elements += 1;
    attributes += tag.attributes;
    if (tag.attributes > maxAttributesOfElement) throw over("attributes in one element", maxAttributesOfElement);
    if (tag.kind === "start") depth += 1;
    if (depth > maxDepth) throw over("nested elements", maxDepth);
    if (elements > maxElements) throw over("elements", maxElements);
    if (attributes > maxAttributes) throw over("attributes", maxAttributes);
  }
  let references = 0;
  for (let at = text.indexOf("&"); at >= 0; at = text.indexOf("&", at + 1)) {
    references += 1;
    if (references > maxReferences) throw over("references", maxReferences);
  }
}

const over = (what: string, limit: number): Fault => refuse(`the document has over ${limit} ${what}`);

type Tag = { readonly at: number; readonly kind: "start" | "empty" | "end"; readonly attributes: number };

/** Tags in document order; ends early where the text is not well-formed, which the parser tells better. */
function* tagsOf(text: string): Generator<Tag> {
  for (let at = text.indexOf("<"); at >= 0; ) {
    const next = text[at + 1];
    let end: number;
    if (next === "!" || next === "?") {
      end = past(text, at);
    } else {
      const tag = tagAt(text, at, next === "/");
      end = tag.end;
      if (end > 0) yield tag;
    }
    if (end < 0) return;
    at = text.indexOf("<", end);
  }
}

/** Where a comment, CDATA section or processing instruction ends; -1 if it does not. */
function past(text: string, at: number): number {
  const mark = text.startsWith("<?", at) ? "?>" : text.startsWith("<!--", at) ? "-->" : "]]>";
  if (mark === "]]>" && !text.startsWith("<![CDATA[", at)) throw refuse("a DOCTYPE is not accepted");
  const found = text.indexOf(mark, at + (mark === "-->" ? 4 : 2));
  return found < 0 ? -1 : found + mark.length;
}

const [quote, apostrophe, greater] = [0x22, 0x27, 0x3e];

function tagAt(text: string, at: number, isEnd: boolean): Tag & { readonly end: number } {
  let attributes = 0;
  for (let i = at + 1; i < text.length; i += 1) {
    const code = text.charCodeAt(i);
    if (code === greater) {
      const kind = isEnd ? "end" : text[i - 1] === "/" ? "empty" : "start";
      return { at, kind, attributes, end: i + 1 };
    }
    if (code !== quote && code !== apostrophe) continue;
    attributes += 1;
    const closing = text.indexOf(code === quote ? '"' : "'", i + 1);
    if (closing < 0) break;
    i = closing;
  }
  return { at, kind: "end", attributes, end: -1 };
}

/** Line and column, from 1, of the element that is `nth` (from 0) in document order; columns are characters. */
export function placeOf({ text, encoding }: Markup, nth: number): { readonly line: number; readonly column: number } {
  let seen = 0;
  for (const { at, kind } of tagsOf(text)) {
    if (kind === "end") continue;
    if (seen === nth) return lineAndColumn(text, at, encoding);
    seen += 1;
  }
  return { line: 0, column: 0 };
}

function lineAndColumn(text: string, at: number, encoding: string): { line: number; column: number } {
  let line = 1;
  let start = 0;
  for (let end = text.indexOf("\n"); end >= 0 && end < at; end = text.indexOf("\n", start)) {
    line += 1;
    start = end + 1;
  }
  const before = text.slice(start, at);
  const characters = encoding.startsWith("utf-16") ? before : charactersOf(before, encoding);
  return { line, column: characters.length + 1 };
}

function charactersOf(before: string, encoding: string): string {
  try {
    return new TextDecoder(encoding).decode(Buffer.from(before, "latin1"));
  } catch {
    return before;
  }
}
