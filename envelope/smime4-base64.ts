/**
 * Content-Transfer-Encoding base64 (RFC 2045 6.8) as ordinary S/MIME tools write it: lines of at most 76 characters that end
 * in CRLF or LF. Written here in lines of 76 and CRLF.
 */
import { Fault } from "../errors.ts";

const lineChars = 76;
const lineOctets = 57;
const pieceBytes = 32 * 1024;
const endOfLine = "\r\n";

const malformed = (): Fault =>
  new Fault(
    "ENVELOPE_MALFORMED",
    "MIME: base64 in lines over 76 characters, or with others than its own, or cut short",
  );

/** Decoded octets; ENVELOPE_MALFORMED where another encoder would have written other characters. */
export async function* fromBase64(encoded: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let line = "";
  let digits = "";
  for await (const chunk of inPieces(encoded)) {
    const text = line + Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length).toString("latin1");
    const end = text.lastIndexOf("\n") + 1;
    line = text.slice(end);
    if (line.length > lineChars + 1) throw malformed();
    if (end === 0) continue;
    digits += withoutLineEnds(text.slice(0, end));
    // The last group is kept back: only the very last one may be padded.
    const ready = Math.floor(Math.max(0, digits.length - 1) / 4) * 4;
    if (ready > 0) yield decode(digits.slice(0, ready), false);
    digits = digits.slice(ready);
  }
  digits += withoutLineEnds(line);
  if (digits.length > 0) yield decode(digits, true);
}

/** Never more at a time than makes small strings: large ones pile up faster than they are collected. */
async function* inPieces(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const chunk of source)
    for (let at = 0; at < chunk.length; at += pieceBytes) yield chunk.subarray(at, at + pieceBytes);
}

function withoutLineEnds(lines: string): string {
  for (let at = 0, end = 0; at < lines.length; at = end + 1) {
    end = lines.indexOf("\n", at);
    if (end < 0) end = lines.length;
    if (end - at > lineChars + (lines[end - 1] === "\r" ? 1 : 0)) throw malformed();
  }
  return lines.replaceAll(/\r?\n/g, "");
}

function decode(digits: string, isLast: boolean): Uint8Array {
  const octets = Buffer.from(digits, "base64");
  // Compared whole: no character outside the alphabet, no padding in the middle, no bits left over.
  if (octets.toString("base64") !== digits || (!isLast && digits.endsWith("="))) throw malformed();
  return octets;
}

/** Octets in lines of 76 characters. */
export async function* toBase64(octets: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let held: Uint8Array = new Uint8Array();
  for await (const chunk of inPieces(octets)) {
    const all = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    const ready = Math.floor(all.length / lineOctets) * lineOctets;
    if (ready > 0) yield lines(all.subarray(0, ready));
    // Copied, so that a large chunk does not live on for a few octets of it.
    held = Uint8Array.from(all.subarray(ready));
  }
  if (held.length > 0) yield lines(held);
}

const lines = (octets: Uint8Array): Uint8Array =>
  Buffer.from(
    Buffer.from(octets.buffer, octets.byteOffset, octets.length)
      .toString("base64")
      .replaceAll(/.{1,76}/g, `$&${endOfLine}`),
    "latin1",
  );

/** Characters and line ends for this many octets. */
export const base64Length = (size: number): number =>
  Math.ceil(size / 3) * 4 + Math.ceil(size / lineOctets) * endOfLine.length;
