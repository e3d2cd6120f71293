/** The parts of an envelope whose manifest is verified, one after the other: nothing is handed on before its signed digest matched. */
import { Fault } from "../errors.ts";
import { each } from "./cms/ber.ts";
import type { Held, Unframed } from "./frame.ts";
import type { PartEntry } from "./manifest.ts";
import type { PartFacts } from "./part.ts";
import { openOctets, verifiedCipher, verifiedClear } from "./part-open.ts";

/** A part at hand, and its key. */
export type HeldPart = Held & { readonly cek: Uint8Array };

export type OpenedPart = {
  /** As signed; a re-addressed part has the origin's role, type, size, digests and sop, and its number there. */
  readonly entry: PartEntry;
  /** Ciphertext, each segment handed on only after the digest of its clear text matched, and the reader's until the next; must be read to its end. */
  readonly cipher: AsyncIterable<Uint8Array>;
  /** Known once the ciphertext has ended: digests and tag are verified. */
  facts(): PartFacts;
  /** Clear text as a stream, instead of `cipher`: each segment only after its digest matched; must be read to its end. */
  clear(): AsyncIterable<Uint8Array>;
  /** Clear text of a part of at most `limit` octets, instead of `cipher`; TOO_LARGE before anything is read. */
  bytes(limit: number): Promise<Uint8Array>;
};

/**
 * Yields one part for each entry and ends only when nothing follows the last. ENVELOPE_NOT_OPENED for anything else than
 * what was signed, UNEXPECTED when the caller asks for the next part before it has read this one.
 */
export async function* openParts(
  entries: readonly PartEntry[],
  bodies: AsyncIterator<HeldPart | Unframed>,
): AsyncGenerator<OpenedPart> {
  for (const entry of entries) {
    const body = await bodies.next();
    if (body.done === true) throw new Fault("ENVELOPE_NOT_OPENED", "fewer parts than the manifest signs");
    const { part, isRead } = partOf(entry, body.value);
    yield part;
    if (!isRead()) throw new Fault("UNEXPECTED", `part ${entry.n} was left before its end`);
  }
  if ((await bodies.next()).done !== true) throw new Fault("ENVELOPE_NOT_OPENED", "more parts than the manifest signs");
}

function partOf(entry: PartEntry, body: HeldPart | Unframed): { readonly part: OpenedPart; isRead(): boolean } {
  const { nonce, cek } = body;
  const segments = "segments" in body ? body.segments : [];
  const cipher = "segments" in body ? each(segments) : body.cipher;
  const tag = (): Uint8Array | undefined => ("segments" in body ? body.tag : body.tag());
  const digests =
    "sha256" in entry
      ? { sha256: entry.sha256, segs: null, root: null }
      : { sha256: null, segs: Buffer.from(entry.segs, "base64"), root: entry.root };
  const signed = { size: entry.size, ...digests, cek, nonce };
  let read: PartFacts | undefined;
  async function* readTo(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    yield* stream;
    read = { ...signed, tag: tag() ?? new Uint8Array() };
  }
  const ciphertext = readTo(verifiedCipher(cipher, signed, tag));
  const clear = (): AsyncIterable<Uint8Array> => readTo(verifiedClear(cipher, signed, tag));
  const facts = (): PartFacts => {
    if (!read) throw new Fault("UNEXPECTED", "a part's facts are known only after its last octet");
    return read;
  };
  const bytes = async (limit: number): Promise<Uint8Array> => {
    if (entry.size > limit) throw new Fault("TOO_LARGE", `part ${entry.n} is over ${limit} octets`);
    const [octets, ...more] = segments;
    if (!octets || more.length > 0 || signed.sha256 === null) return Buffer.concat(await Array.fromAsync(clear()));
    // Most commands are one segment that is at hand: no stream stands between.
    const whole = { ...signed, tag: tag() ?? new Uint8Array() };
    const opened = openOctets(octets, whole);
    read = whole;
    return opened;
  };
  return { part: { entry, cipher: ciphertext, facts, clear, bytes }, isRead: () => read !== undefined };
}
