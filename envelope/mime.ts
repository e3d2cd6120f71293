/** multipart/mixed as this project writes it (RFC 2046 5.1): no preamble, no epilogue, two headers a part, binary. */
import { Fault } from "../errors.ts";

const partHeaders =
  "Content-Type: application/pkcs7-mime; smime-type=authEnveloped-data\r\nContent-Transfer-Encoding: binary\r\n\r\n";
const expectedHeaders: ReadonlyMap<string, string> = new Map([
  ["content-type", "application/pkcs7-mime; smime-type=authenveloped-data"],
  ["content-transfer-encoding", "binary"],
]);
const maxPartHeaderBytes = 1024;

const malformed = (what: string): Fault => new Fault("ENVELOPE_MALFORMED", `MIME: ${what}`);

/** What stands before part `n` (counted from 0), and after the last. */
export const opening = (boundary: string, n: number): Uint8Array =>
  Buffer.from(`${n === 0 ? "" : "\r\n"}--${boundary}\r\n${partHeaders}`);
export const closing = (boundary: string): Uint8Array => Buffer.from(`\r\n--${boundary}--\r\n`);

/** The parts of a body, in order. Each part must be read to its end before the next is asked for. */
export async function* readParts(
  source: AsyncIterable<Uint8Array>,
  boundary: string,
  maxParts: number,
): AsyncGenerator<AsyncIterable<Uint8Array>> {
  const reader = new Reader(source);
  const delimiter = Buffer.from(`\r\n--${boundary}`);
  const first = Buffer.from(`--${boundary}`);
  if (!first.equals(await reader.exactly(first.length))) throw malformed("something before the first boundary");
  for (let count = 0; ; count += 1) {
    const after = await reader.exactly(2);
    if (after.equals(Buffer.from("--"))) {
      if (!(await reader.exactly(2)).equals(Buffer.from("\r\n"))) throw malformed("the closing boundary is not closed");
      if (await reader.hasMore()) throw malformed("something after the closing boundary");
      return;
    }
    if (!after.equals(Buffer.from("\r\n"))) throw malformed("a boundary that does not end its line");
    if (count >= maxParts) throw malformed(`more than ${maxParts} parts`);
    checkHeaders(await reader.upTo(Buffer.from("\r\n\r\n"), maxPartHeaderBytes));
    let isRead = false;
    yield (async function* () {
      yield* reader.until(delimiter);
      isRead = true;
    })();
    if (!isRead) throw new Fault("UNEXPECTED", "a part was left before its end");
  }
}

function checkHeaders(block: Buffer): void {
  const seen = new Set<string>();
  for (const line of block.toString("latin1").split("\r\n")) {
    const colon = line.indexOf(":");
    const name = line.slice(0, colon).toLowerCase();
    const value = line
      .slice(colon + 1)
      .trim()
      .toLowerCase();
    if (colon < 1 || seen.has(name) || expectedHeaders.get(name) !== value)
      throw malformed("a part header that does not belong there");
    seen.add(name);
  }
  if (seen.size !== expectedHeaders.size) throw malformed("a part header is missing");
}

/** Buffered reading of a byte stream: state and a search that never scans an octet twice needs identity. */
class Reader {
  readonly #iterator: AsyncIterator<Uint8Array>;
  #buffer: Buffer = Buffer.alloc(0);
  #isEnded = false;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#iterator = source[Symbol.asyncIterator]();
  }

  async #more(): Promise<boolean> {
    if (this.#isEnded) return false;
    const next = await this.#iterator.next();
    if (next.done === true) {
      this.#isEnded = true;
      return false;
    }
    const chunk = Buffer.from(next.value.buffer, next.value.byteOffset, next.value.length);
    this.#buffer = this.#buffer.length === 0 ? chunk : Buffer.concat([this.#buffer, chunk]);
    return true;
  }

  async hasMore(): Promise<boolean> {
    while (this.#buffer.length === 0) if (!(await this.#more())) return false;
    return true;
  }

  async exactly(count: number): Promise<Buffer> {
    while (this.#buffer.length < count) if (!(await this.#more())) throw malformed("the body ends too early");
    const taken = this.#buffer.subarray(0, count);
    this.#buffer = this.#buffer.subarray(count);
    return taken;
  }

  /** Octets before the mark, which is taken too. */
  async upTo(mark: Buffer, limit: number): Promise<Buffer> {
    for (;;) {
      const at = this.#buffer.indexOf(mark);
      if (at > limit || (at < 0 && this.#buffer.length > limit)) throw malformed(`part headers over ${limit} octets`);
      if (at >= 0) {
        const taken = this.#buffer.subarray(0, at);
        this.#buffer = this.#buffer.subarray(at + mark.length);
        return taken;
      }
      if (!(await this.#more())) throw malformed("the body ends too early");
    }
  }

  /** Streams octets before the mark, which is taken too. What could be the mark's beginning is kept back. */
  async *until(mark: Buffer): AsyncGenerator<Uint8Array> {
    for (;;) {
      const at = this.#buffer.indexOf(mark);
      if (at >= 0) {
        const taken = this.#buffer.subarray(0, at);
        this.#buffer = this.#buffer.subarray(at + mark.length);
        if (taken.length > 0) yield taken;
        return;
      }
      const safe = this.#buffer.length - (mark.length - 1);
      if (safe > 0) {
        const taken = this.#buffer.subarray(0, safe);
        this.#buffer = this.#buffer.subarray(safe);
        yield taken;
      }
      if (!(await this.#more())) throw malformed("the body ends before the closing boundary");
    }
  }
}
