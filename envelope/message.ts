/** An envelope as one octet stream: its header block, an empty line, its body (RFC 5322 2.1). */
import { Fault } from "../errors.ts";
import type { RawHeaders } from "./headers.ts";

const maxHeaderBytes = 64 * 1024;

export type Message = {
  /** In order, duplicates kept. */
  readonly headers: RawHeaders;
  readonly body: AsyncIterable<Uint8Array>;
  /** Every line ended in CRLF and none was folded, as our own profiles are written. */
  readonly isStrict: boolean;
};

const malformed = (what: string): Fault => new Fault("ENVELOPE_MALFORMED", `MIME: headers: ${what}`);

/** Header block and body of a sealed envelope. */
export async function* writeMessage(headers: RawHeaders, body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield Buffer.from(`${headers.map(([name, value]) => `${name}: ${value}`).join("\r\n")}\r\n\r\n`, "latin1");
  yield* body;
}

/** Splits a stream into headers and body. Lines that end in LF alone or are folded are read, since OpenSSL writes both, and told. */
export async function readMessage(source: AsyncIterable<Uint8Array>): Promise<Message> {
  const pieces = source[Symbol.asyncIterator]();
  let held: Buffer = Buffer.alloc(0);
  for (;;) {
    const head = held.subarray(0, maxHeaderBytes).toString("latin1");
    const blank = /\r?\n\r?\n/.exec(head);
    if (blank) {
      const block = head.slice(0, blank.index);
      const isStrict = blank[0] === "\r\n\r\n" && !/(^|[^\r])\n|\n[ \t]/.test(block);
      return {
        headers: headersOf(block),
        body: following(held.subarray(blank.index + blank[0].length), pieces),
        isStrict,
      };
    }
    if (held.length >= maxHeaderBytes) throw malformed(`no end of them within ${maxHeaderBytes} octets`);
    const { value, done } = await pieces.next();
    if (done === true) throw malformed("no empty line ends them");
    held = held.length === 0 ? Buffer.from(value.buffer, value.byteOffset, value.length) : Buffer.concat([held, value]);
  }
}

const headersOf = (block: string): RawHeaders =>
  block
    .replaceAll(/\r?\n[ \t]+/g, " ")
    .split(/\r?\n/)
    .map((line): [string, string] => {
      const [, name, value] = /^([!-9;-~]+):([\t -~\u0080-\u00ff]*)$/.exec(line) ?? [];
      if (name === undefined || value === undefined) throw malformed("a line that is no header");
      return [name, value.trim()];
    });

async function* following(first: Uint8Array, others: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    if (first.length > 0) yield first;
    for (let next = await others.next(); next.done !== true; next = await others.next()) yield next.value;
  } finally {
    await others.return?.();
  }
}
