/** Content-Transfer-Encoding base64 (RFC 2045 6.8) in its one canonical form: lines of 76 characters, the last one shorter. */
import { Fault } from "../errors.ts";

const lineChars = 76;
const wrapped = lineChars + 2;

const malformed = (): Fault =>
  new Fault("ENVELOPE_MALFORMED", "MIME: base64 that is not in lines of 76 characters, or not canonical");

/** Decoded octets; ENVELOPE_MALFORMED where encoding them again would give other characters. */
export async function* canonicalBase64(encoded: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let held = "";
  for await (const chunk of encoded) {
    held += Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length).toString("latin1");
    // A line that is followed by another is whole; what is left may be the last.
    const ready = Math.floor(Math.max(0, held.length - 1) / wrapped) * wrapped;
    if (ready === 0) continue;
    yield decode(held.slice(0, ready));
    held = held.slice(ready);
  }
  // A line's end belongs to the boundary that follows, so the last line has none.
  if (held.length > 0) yield decode(`${held}\r\n`);
}

function decode(lines: string): Uint8Array {
  const characters = lines.replaceAll("\r\n", "");
  const octets = Buffer.from(characters, "base64");
  if (encode(octets) !== lines) throw malformed();
  return octets;
}

const encode = (octets: Buffer): string => octets.toString("base64").replaceAll(/.{1,76}/g, "$&\r\n");
