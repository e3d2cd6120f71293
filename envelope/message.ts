/** An envelope as one octet stream: its header block as it stands on the wire, an empty line, its body (RFC 5322 2.1). */
import { Fault } from "../errors.ts";
import type { RawHeaders } from "./headers.ts";

const endOfHeaders = Buffer.from("\r\n\r\n");
const maxHeaderBytes = 64 * 1024;

const malformed = (what: string): Fault => new Fault("ENVELOPE_MALFORMED", `headers: ${what}`);

/** Header block and body of a sealed envelope. */
export async function* writeMessage(headers: RawHeaders, body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield Buffer.from(`${headers.map(([name, value]) => `${name}: ${value}`).join("\r\n")}\r\n\r\n`, "latin1");
  yield* body;
}

/** Splits a stream into headers, in order with duplicates kept, and the body that follows. Folded lines are refused. */
export async function readMessage(
  source: AsyncIterable<Uint8Array>,
): Promise<{ readonly headers: RawHeaders; readonly body: AsyncIterable<Uint8Array> }> {
  const pieces = source[Symbol.asyncIterator]();
  let head: Uint8Array = new Uint8Array();
  for (;;) {
    const { value, done } = await pieces.next();
    if (done) throw malformed("no empty line ends them");
    head = head.length === 0 ? value : Buffer.concat([head, value]);
    const end = Buffer.from(head.buffer, head.byteOffset, head.length).indexOf(endOfHeaders);
    if (end > maxHeaderBytes || (end < 0 && head.length > maxHeaderBytes))
      throw malformed(`over ${maxHeaderBytes} octets`);
    if (end < 0) continue;
    const rest = head.subarray(end + endOfHeaders.length);
    return { headers: linesOf(Buffer.from(head.subarray(0, end)).toString("latin1")), body: following(rest, pieces) };
  }
}

function linesOf(block: string): RawHeaders {
  return block.split("\r\n").map((line): [string, string] => {
    const [, name = "", value = ""] = /^([!-9;-~]+): ?([\t -~\u0080-\u00ff]*)$/.exec(line) ?? [];
    if (name === "") throw malformed("a line that is no header, or is folded");
    return [name, value];
  });
}

async function* following(first: Uint8Array, rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  if (first.length > 0) yield first;
  yield* { [Symbol.asyncIterator]: () => rest };
}
