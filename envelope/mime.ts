/**
 * multipart/mixed as the profiles write it (RFC 2046 5.1): no preamble, no epilogue, two headers a part, binary. The reader
 * also takes base64 parts, which a mail gateway makes of binary ones, in their one canonical form.
 */
import { Fault } from "../errors.ts";
import { canonicalBase64 } from "./mime-base64.ts";

/** The one media type that all parts of a profile have. */
const partTypes = {
  "semrs-2": "application/pkcs7-mime; smime-type=authEnveloped-data",
  "semrs-2017": "application/octet-stream",
} as const;
type PartProfile = keyof typeof partTypes;

const endOfLine = Buffer.from("\r\n");
export const endOfHeaders = Buffer.from("\r\n\r\n");
const maxPartHeaderBytes = 1024;

const malformed = (what: string): Fault => new Fault("ENVELOPE_MALFORMED", `MIME: ${what}`);

/** What stands before part `index`, counted from 0. */
export const opening = (boundary: string, index: number, profile: PartProfile = "semrs-2"): Uint8Array => {
  const headers = `Content-Type: ${partTypes[profile]}\r\nContent-Transfer-Encoding: binary\r\n\r\n`;
  return Buffer.from(`${index === 0 ? "" : "\r\n"}--${boundary}\r\n${headers}`);
};
/** What stands after the last part. */
export const closing = (boundary: string): Uint8Array => Buffer.from(`\r\n--${boundary}--\r\n`);

/**
 * The bodies of the parts, in order; each must be read to its end before the next is asked for. ENVELOPE_MALFORMED for
 * anything else than this profile writes; the generator ends only after the closing boundary, with nothing after it.
 */
export async function* readParts(
  source: AsyncIterable<Uint8Array>,
  boundary: string,
  maxParts: number,
  profile: PartProfile = "semrs-2",
): AsyncGenerator<AsyncIterable<Uint8Array>> {
  for await (const { head, body } of readMultipart(reader(source), boundary, maxParts, (block) =>
    encodingOf(block, partTypes[profile]),
  ))
    yield head === "base64" ? canonicalBase64(body) : body;
}

/** The same for parts with headers of any kind, which `headOf` reads or refuses, and bodies as they stand. */
export async function* readMultipart<H>(
  lines: Reader,
  boundary: string,
  maxParts: number,
  headOf: (block: Buffer, index: number) => H,
): AsyncGenerator<{ readonly head: H; readonly body: AsyncGenerator<Uint8Array> }> {
  const delimiter = Buffer.from(`\r\n--${boundary}`);
  if (!(await lines.exactly(delimiter.length - 2)).equals(delimiter.subarray(2)))
    throw malformed("something before the first boundary");
  for (let count = 0; ; count += 1) {
    const after = await lines.exactly(2);
    if (after.equals(Buffer.from("--"))) break;
    if (!after.equals(endOfLine)) throw malformed("a boundary that does not end its line");
    if (count >= maxParts) throw new Fault("TOO_LARGE", `MIME: more than ${maxParts} parts`);
    const head = headOf(await lines.before(endOfHeaders, maxPartHeaderBytes), count);
    let isRead = false;
    const body = async function* (): AsyncGenerator<Uint8Array> {
      yield* lines.until(delimiter);
      isRead = true;
    };
    yield { head, body: body() };
    if (!isRead) throw new Fault("UNEXPECTED", "a part was left before its end");
  }
  if (!(await lines.exactly(2)).equals(endOfLine)) throw malformed("the closing boundary does not end its line");
  if (await lines.hasMore()) throw malformed("something after the closing boundary");
}

/** White space around a value is SP and HTAB alone (RFC 5322 2.2.2): a bare CR or LF is none. */
const around = /^[ \t]+|[ \t]+$/g;

/** Content-Type and Content-Transfer-Encoding, once each, and nothing else. */
function encodingOf(block: Buffer, partType: string): "binary" | "base64" {
  const lines = block.toString("latin1").split("\r\n");
  const values = new Map(
    lines.map((line) => [
      line.slice(0, Math.max(0, line.indexOf(":"))).toLowerCase(),
      line.slice(line.indexOf(":") + 1).replace(around, ""),
    ]),
  );
  const encoding = values.get("content-transfer-encoding")?.toLowerCase();
  if (lines.length !== 2 || values.get("content-type")?.toLowerCase() !== partType.toLowerCase()) {
    throw malformed(
      "a part's headers must be Content-Type, of this profile's only type, and Content-Transfer-Encoding",
    );
  }
  if (encoding !== "binary" && encoding !== "base64")
    throw malformed("a part's Content-Transfer-Encoding must be binary or base64");
  return encoding;
}

export type Reader = {
  exactly(count: number): Promise<Buffer>;
  /** Octets before a mark, which is taken too. */
  before(mark: Buffer, limit: number): Promise<Buffer>;
  /** The same as a stream; what could be the beginning of the mark is kept back. */
  until(mark: Buffer): AsyncGenerator<Uint8Array>;
  hasMore(): Promise<boolean>;
};

/** Reads a stream by marks. */
export function reader(source: AsyncIterable<Uint8Array>): Reader {
  const iterator = source[Symbol.asyncIterator]();
  let held: Buffer = Buffer.alloc(0);
  const take = (count: number, skipped = 0): Buffer => {
    const taken = held.subarray(0, count);
    held = held.subarray(count + skipped);
    return taken;
  };
  const next = async (): Promise<Buffer | undefined> => {
    const { done, value } = await iterator.next();
    return done === true ? undefined : Buffer.from(value.buffer, value.byteOffset, value.length);
  };
  const more = async (what: string): Promise<void> => {
    const chunk = await next();
    if (!chunk) throw malformed(what);
    held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
  };
  return {
    exactly: async (count) => {
      while (held.length < count) await more("the body ends too early");
      return take(count);
    },
    before: async (mark, limit) => {
      for (;;) {
        const at = held.indexOf(mark);
        if (at > limit || (at < 0 && held.length > limit)) throw malformed(`headers over ${limit} octets`);
        if (at >= 0) return take(at, mark.length);
        await more("the body ends within headers");
      }
    },
    until: async function* (mark) {
      for (;;) {
        const at = held.indexOf(mark);
        if (at >= 0) {
          if (at > 0) yield take(at);
          take(mark.length);
          return;
        }
        // Only a mark's beginning at the very end can still become one.
        const start = possibleStart(held, mark);
        if (start > 0) yield take(start);
        await more("the body ends before the closing boundary");
      }
    },
    hasMore: async () => {
      for (;;) {
        if (held.length > 0) return true;
        const chunk = await next();
        if (!chunk) return false;
        held = chunk;
      }
    },
  };
}

/** Where the mark could begin so close to the end that the rest of it has yet to come; the length if nowhere. */
function possibleStart(held: Buffer, mark: Buffer): number {
  for (let at = Math.max(0, held.length - mark.length + 1); at < held.length; at += 1) {
    if (held[at] === mark[0] && mark.subarray(0, held.length - at).equals(held.subarray(at))) return at;
  }
  return held.length;
}
