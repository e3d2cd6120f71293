/** Character sets of HL7 v2 (Table 0211) and of hospitals: named, read, and written. */
import { isAscii, isUtf8 } from "node:buffer";
import iconv from "iconv-lite";

/** HL7 Table 0211, and code pages of Windows, to WHATWG labels. Names that are labels already (windows-1252, euc-kr) are taken as they are. */
const names: Readonly<Record<string, string>> = {
  "": "utf-8",
  ASCII: "utf-8",
  "ISO IR6": "utf-8",
  "UNICODE UTF-8": "utf-8",
  "UNICODE UTF8": "utf-8",
  "UTF-8": "utf-8",
  UTF8: "utf-8",
  "8859/1": "windows-1252",
  "8859/2": "iso-8859-2",
  "8859/3": "iso-8859-3",
  "8859/4": "iso-8859-4",
  "8859/5": "iso-8859-5",
  "8859/6": "iso-8859-6",
  "8859/7": "iso-8859-7",
  "8859/8": "iso-8859-8",
  "8859/9": "windows-1254",
  "8859/15": "iso-8859-15",
  "BIG-5": "big5",
  "GB 18030-2000": "gb18030",
  "KS X 1001": "euc-kr",
  "ISO IR14": "shift_jis",
  "ISO IR87": "iso-2022-jp",
  "ISO IR159": "iso-2022-jp",
  "SHIFT-JIS": "shift_jis",
  CP932: "shift_jis",
  CP936: "gbk",
  CP949: "euc-kr",
  CP950: "big5",
  MS936: "gbk",
  MS949: "euc-kr",
  MS950: "big5",
};

/** WHATWG labels to MSH-18 of what we write in them. */
const written: Readonly<Record<string, string>> = {
  "utf-8": "UNICODE UTF-8",
  "windows-1252": "8859/1",
  "windows-1254": "8859/9",
  big5: "BIG-5",
  gb18030: "GB 18030-2000",
  gbk: "GB 18030-2000",
  "euc-kr": "KS X 1001",
  shift_jis: "SHIFT-JIS",
  "iso-2022-jp": "ASCII~ISO IR87",
};

const escapeOctet = 0x1b;
/** Where octets of a delimiter stand inside characters: what is in them is decoded before it is split. */
export const withTrailBytes = ["big5", "gb18030", "gbk", "shift_jis", "iso-2022-jp"] as const;

/** The WHATWG label of a charset by any of its names; undefined for one that nobody knows. */
export function charsetNamed(name: string): string | undefined {
  const known = names[name.trim().toUpperCase()];
  if (known) return known;
  try {
    const { encoding } = new TextDecoder(name.trim());
    // UTF-16 cannot be framed, whatever its name.
    return encoding.startsWith("utf-16") ? undefined : encoding;
  } catch {
    return undefined;
  }
}

/** Which of several repetitions of MSH-18 is read: the last, to which escape sequences switch (HL7 v2.5.1 2.15.9.18). ASCII is in all of them. */
export const lastOf = (field: string, repetition = "~"): string =>
  field.split(repetition).findLast((name) => !/^(ASCII|ISO IR6)?$/i.test(name.trim())) ?? "";

/** MSH-18 for a message that is written in this charset; undefined where the standard has no name for it. */
export const fieldFor = (charset: string): string | undefined =>
  written[charset] ?? (/^iso-8859-/.test(charset) ? charset.replace("iso-8859-", "8859/") : undefined);

/**
 * The charset that MSH-18 names, found in the octets of the MSH line. Trail bytes before MSH-18 may look like separators
 * and shift it, so a charset that has them is tried where the plain reading names none.
 */
export function charsetOfLine(line: Uint8Array, fieldAt: number): { readonly charset: string; readonly field: string } {
  const latin = Buffer.from(line.buffer, line.byteOffset, line.length).toString("latin1");
  const separator = latin.charAt(3);
  const repetition = latin.charAt(5);
  const field = latin.split(separator)[fieldAt] ?? "";
  const plain = charsetNamed(lastOf(field, repetition));
  // Plain ASCII cannot be misread.
  if (!isAscii(line) || line.includes(escapeOctet)) {
    for (const charset of withTrailBytes) {
      const decoded = decoderOf(charset).decode(line).split(separator)[fieldAt] ?? "";
      if (decoded !== "" && charsetNamed(lastOf(decoded, repetition)) === charset) return { charset, field: decoded };
    }
  }
  return { charset: plain ?? "utf-8", field };
}

const decoders = new Map<string, InstanceType<typeof TextDecoder>>();
/** A text decoder that replaces what it cannot read: a name that cannot be decoded is no reason to refuse a document. */
export function decoderOf(charset: string): InstanceType<typeof TextDecoder> {
  const known = decoders.get(charset);
  if (known) return known;
  const fresh = new TextDecoder(charset);
  decoders.set(charset, fresh);
  return fresh;
}

/** Whether octets are text of this charset, all of them. */
export function isReadable(bytes: Uint8Array, charset: string): boolean {
  if (charset === "utf-8") return isUtf8(bytes);
  if (charset !== "iso-2022-jp" && isAscii(bytes)) return true;
  try {
    new TextDecoder(charset, { fatal: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
}

/** Text in a charset (WHATWG label), and how many characters it does not have: they are written as "?". */
export function encodeText(text: string, charset: string): { readonly bytes: Uint8Array; readonly replaced: number } {
  if (charset === "utf-8") return { bytes: Buffer.from(text, "utf8"), replaced: 0 };
  // biome-ignore lint/suspicious/noControlCharactersInRegex: ASCII is the same in every charset that is used here
  if (/^[\u0000-\u007f]*$/.test(text)) return { bytes: Buffer.from(text, "latin1"), replaced: 0 };
  const whole = encode(text, charset);
  if (decoderOf(charset).decode(whole) === text) return { bytes: whole, replaced: 0 };
  let replaced = 0;
  const kept = [...text].map((character) => {
    const isKept = decoderOf(charset).decode(encode(character, charset)) === character;
    replaced += isKept ? 0 : 1;
    return isKept ? character : "?";
  });
  return { bytes: encode(kept.join(""), charset), replaced };
}

const encode = (text: string, charset: string): Uint8Array =>
  charset === "iso-2022-jp" ? encodeJis(text) : iconv.encode(text, iconv.encodingExists(charset) ? charset : "ascii");

/** JIS X 0208 is EUC-JP without its high bits, between escape sequences (RFC 1468). */
function encodeJis(text: string): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const run of text.match(/[\p{ASCII}]+|[^\p{ASCII}]+/gu) ?? []) {
    const euc = iconv.encode(run, "euc-jp");
    // Two octets a character, both of the high half; half-width kana (8E) and JIS X 0212 (8F) have no place in it.
    const isKanji = euc.length % 2 === 0 && euc.every((octet) => octet > 0xa0);
    if (isKanji)
      parts.push(Buffer.from("\u001b$B"), Buffer.from(euc.map((octet) => octet & 0x7f)), Buffer.from("\u001b(B"));
    else parts.push(/\p{ASCII}/u.test(run) ? Buffer.from(run) : encodeOneByOne(run));
  }
  return Buffer.concat(parts);
}

const encodeOneByOne = (run: string): Uint8Array =>
  Buffer.concat([...run].map((character) => ([...run].length === 1 ? Buffer.from("?") : encodeJis(character))));
