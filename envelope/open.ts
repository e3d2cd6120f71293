/**
 * Opens an envelope in the one order that is safe (SPEC.md, "Verification order"): nothing of part 5 is read before the
 * signature holds, nothing is handed on before its signed digest matched. Whatever fails is one Fault; its message is for
 * the local log, the peer is told nothing of it.
 */
import { createDecipheriv, createHash } from "node:crypto";
import { Fault } from "../errors.ts";
import { readCertificate } from "./certificate.ts";
import { children, read, tag, tlv } from "./cms/der.ts";
import { type Unframed, unframe, unframeKey, unwrapPart } from "./frame.ts";
import { type ClearHeaders, headerKey, openHeader, type RawHeaders, readHeaders } from "./headers.ts";
import type { Unwrapper } from "./keys.ts";
import {
  headerNames,
  type Manifest,
  maxManifestBytes,
  maxParts,
  type PartEntry,
  type Purpose,
  readManifest,
} from "./manifest.ts";
import { readParts } from "./mime.ts";
import { openOrigin, type VerifiedOrigin } from "./origin.ts";
import { maxWholeBytes, openCipher, type PartFacts, verifiedCipher } from "./part.ts";
import type { Trust } from "./path.ts";
import { recipientSki } from "./recipient.ts";
import { type Owner, verifySigner } from "./signer.ts";

export type Opening = {
  /** Our own organisation. */
  readonly self: string;
  readonly unwrappers: readonly Unwrapper[];
  readonly trust: Trust;
  readonly now: Date;
  /** What this resource takes. */
  readonly purposes: readonly Purpose[];
  /** Owner of a signing certificate (SHA-256, hex). */
  partner(certificateSha256: string): Owner | undefined;
  hasSeen(org: string, id: string): boolean;
  /** The organisation at the other end of the TLS connection. */
  readonly peer?: string;
  /** Set when this is the answer to a request of ours. */
  readonly reply?: { readonly inReplyTo: string; readonly requestDigest: string; readonly from: string };
};

export type OpenedPart = {
  /** As signed; a re-addressed part has the origin's role, type, size, digests and sop, and its number there. */
  readonly entry: PartEntry;
  /** Ciphertext, each segment handed on only after its digest matched; must be read to its end. */
  readonly cipher: AsyncIterable<Uint8Array>;
  /** Known once the ciphertext has ended. */
  facts(): PartFacts;
  /** Clear text of a small part, instead of `cipher`. */
  bytes(limit: number): Promise<Uint8Array>;
};

export type Opened = {
  readonly manifest: Manifest;
  readonly manifestBytes: Uint8Array;
  /** Hex. */
  readonly manifestSha256: string;
  readonly signature: Uint8Array;
  /** Who signed: looked up from the certificate. */
  readonly org: string;
  readonly origin: VerifiedOrigin | null;
  /** Part 1, then 5, 6 …; complete only when the generator ends. */
  parts(): AsyncGenerator<OpenedPart>;
};

const skewMs = 5 * 60_000;
const maxLifetimeMs = 7 * 24 * 3600 * 1000;
const maxRecipients = 64;
/** Room for the CMS frame around a part of a given size. */
const frameBytes = 4096;
const limits = {
  first: maxWholeBytes + frameBytes * 16,
  manifest: maxManifestBytes + frameBytes,
  signature: 1024 * 1024,
  key: 256 * 1024 + frameBytes,
} as const;

const refuse = (what: string): Fault => new Fault("ENVELOPE_NOT_OPENED", what);

/** Resolves once everything up to the replay check holds; the parts' bodies are verified while they are read. */
export async function open(headers: RawHeaders, body: AsyncIterable<Uint8Array>, context: Opening): Promise<Opened> {
  const clear = readHeaders(headers);
  const parts = readParts(body, clear.boundary, maxParts + 4);
  const first = await buffered(parts, limits.first);
  const second = await buffered(parts, limits.manifest);
  const third = await buffered(parts, limits.signature);
  const fourth = await buffered(parts, limits.key);

  const { oneTimeKey, unwrapper, skis } = await unwrap(fourth, context.unwrappers);
  const manifestBytes = await openSmall(second, oneTimeKey, clear.id);
  const signature = await openSmall(third, oneTimeKey, clear.id);
  const { now, trust, partner } = context;
  const { owner, certificate, signingTime } = verifySigner(manifestBytes, signature, { trust, at: now, now, partner });
  if (!owner.profiles.includes("semrs-2")) throw refuse(`${owner.org} is not configured for semrs-2`);

  const manifest = readManifest(manifestBytes);
  checkManifest(manifest, clear, context);
  if (manifest.sender.org !== owner.org || manifest.sender.cert !== certificate.sha256)
    throw refuse("the sender is not the one who signed");
  if (Math.abs(signingTime.getTime() - Date.parse(manifest.created)) > skewMs)
    throw refuse("signing-time and created differ");
  checkRecipients(manifest, skis, context.self, unwrapper);
  checkHeaders(manifest, clear, oneTimeKey);
  if (!context.purposes.includes(manifest.purpose))
    throw new Fault("NOT_PERMITTED", `${manifest.purpose} is not what this resource takes`);
  checkReply(manifest, owner.org, context);
  const origin = manifest.origin ? openOrigin(manifest, owner.org, context) : null;
  if (context.hasSeen(owner.org, manifest.id))
    throw new Fault("ENVELOPE_REPLAYED", "an envelope with this id was opened before");

  const entries = manifest.parts.map((part) => entryOf(part, origin));
  return {
    manifest,
    manifestBytes,
    manifestSha256: createHash("sha256").update(manifestBytes).digest("hex"),
    signature,
    org: owner.org,
    origin,
    parts: () => openParts(entries, first, parts, oneTimeKey, clear.id),
  };
}

async function* openParts(
  entries: readonly PartEntry[],
  first: Uint8Array,
  rest: AsyncGenerator<AsyncIterable<Uint8Array>>,
  oneTimeKey: Uint8Array,
  id: string,
): AsyncGenerator<OpenedPart> {
  for (const [index, entry] of entries.entries()) {
    const part = index === 0 ? once(first) : (await rest.next()).value;
    if (!part) throw refuse("fewer parts than the manifest signs");
    let isRead = false;
    const unframed = await unframe(part, id);
    const opened = partOf(entry, unframed, unwrapPart(unframed.head, oneTimeKey, id), () => (isRead = true));
    yield opened;
    if (!isRead) throw new Fault("UNEXPECTED", "a part was left before its end");
  }
  if ((await rest.next()).done !== true) throw refuse("more parts than the manifest signs");
}

function partOf(
  entry: PartEntry,
  { nonce, cipher, tag: tagOf }: Unframed,
  cek: Uint8Array,
  done: () => void,
): OpenedPart {
  const isWhole = "sha256" in entry;
  const known = {
    size: entry.size,
    sha256: isWhole ? entry.sha256 : null,
    segs: isWhole ? null : Buffer.from(entry.segs, "base64"),
    root: isWhole ? null : entry.root,
    cek,
    nonce,
  };
  async function* verified(): AsyncGenerator<Uint8Array> {
    yield* verifiedCipher(cipher, known, tagOf);
    done();
  }
  const facts = (): PartFacts => {
    const tagOctets = tagOf();
    if (!tagOctets) throw new Fault("UNEXPECTED", "a part's facts are known only after its last octet");
    return { ...known, tag: tagOctets };
  };
  return {
    entry,
    cipher: verified(),
    facts,
    bytes: async (limit) => {
      if (entry.size > limit) throw new Fault("TOO_LARGE", `the part is over ${limit} octets`);
      const pieces: Uint8Array[] = [];
      for await (const piece of verified()) pieces.push(piece);
      return await collect(openCipher(each(pieces), facts()), limit);
    },
  };
}

/** A RecipientInfo that is ours, the key of part 4 from it, and the one-time key under that. */
async function unwrap(part4: Uint8Array, unwrappers: readonly Unwrapper[]) {
  const unframed = await unframeKey(once(part4));
  const infos = children(read(tlv(tag.set, unframed.head), tag.set));
  if (infos.length === 0 || infos.length > maxRecipients)
    throw new Fault("ENVELOPE_MALFORMED", `${infos.length} RecipientInfos`);
  const skis = infos.map(({ raw }) => recipientSki(raw));
  if (new Set(skis).size !== skis.length) throw refuse("two RecipientInfos for one key");
  for (const [index, ski] of skis.entries()) {
    const unwrapper = unwrappers.find((each) => each.ski === ski);
    const info = infos[index];
    if (!unwrapper || !info) continue;
    const cek = await unwrapper.unwrap(info.raw);
    const oneTimeKey = await decrypt(unframed, cek);
    if (oneTimeKey.length !== 32) throw refuse(`the one-time key has ${oneTimeKey.length} octets`);
    return { oneTimeKey, unwrapper, skis };
  }
  throw refuse("no RecipientInfo is for a key of ours");
}

async function openSmall(part: Uint8Array, oneTimeKey: Uint8Array, id: string): Promise<Uint8Array> {
  const unframed = await unframe(once(part), id);
  return await decrypt(unframed, unwrapPart(unframed.head, oneTimeKey, id));
}

/** Authenticated by its tag alone: for the parts that the signature is over, or that carry it. */
async function decrypt({ nonce, cipher, tag: tagOf }: Unframed, cek: Uint8Array): Promise<Uint8Array> {
  const octets = await collect(cipher, maxManifestBytes);
  try {
    const decipher = createDecipheriv("aes-256-gcm", cek, nonce, { authTagLength: 16 });
    decipher.setAuthTag(tagOf() ?? new Uint8Array(16));
    return Buffer.concat([decipher.update(octets), decipher.final()]);
  } catch (cause) {
    throw new Fault("ENVELOPE_NOT_OPENED", "a part's tag does not hold", { cause });
  }
}

function checkManifest(manifest: Manifest, { id }: ClearHeaders, { now }: Opening): void {
  if (manifest.id !== id) throw refuse("the manifest is of another envelope");
  const [created, expires] = [Date.parse(manifest.created), Date.parse(manifest.expires)];
  if (expires - created > maxLifetimeMs || expires <= created) throw refuse("a lifetime over seven days");
  if (created > now.getTime() + skewMs)
    throw new Fault("ENVELOPE_EXPIRED", "the envelope is from the future; check both clocks");
  if (expires + skewMs < now.getTime())
    throw new Fault("ENVELOPE_EXPIRED", "the envelope has expired; it must be sealed anew");
}

/** `to` and the RecipientInfos are the same certificates in the same order, and one of them is the key that opened it. */
function checkRecipients({ to }: Manifest, skis: readonly string[], self: string, unwrapper: Unwrapper): void {
  if (to.length !== skis.length || to.some(({ ski }, index) => ski !== skis[index]))
    throw refuse("to and the RecipientInfos differ");
  const { sha256 } = readCertificate(unwrapper.certificate);
  if (!to.some(({ org, cert }) => org === self && cert === sha256))
    throw refuse("the envelope is not for our certificate");
}

function checkHeaders(manifest: Manifest, { sealed }: ClearHeaders, oneTimeKey: Uint8Array): void {
  const key = headerKey(oneTimeKey, manifest.id);
  for (const name of headerNames) {
    if (openHeader(key, name, sealed[name]) !== manifest.headers[name])
      throw refuse(`${name} differs from what was signed`);
  }
  const { headers, sender, to, parts } = manifest;
  const receivers = to.map(({ org }) => org).join(",");
  if (headers["X-EEC-Sender"] !== sender.org || headers["X-EEC-Receiver"] !== receivers)
    throw refuse("sender or receiver differ from what was signed");
  if (headers["X-EEC-BodypartCnt"] !== String(parts.length + 3))
    throw refuse("X-EEC-BodypartCnt differs from the parts");
  if (headers["X-EEC-HeaderCnt"] !== String(headerNames.length)) throw refuse("X-EEC-HeaderCnt is not nine");
  if (headers["X-EEC-SymmetricAlg"] !== "aes-256-gcm" || headers["X-EEC-DistAlg"] !== "sha-256")
    throw refuse("algorithms of another profile");
}

function checkReply({ inReplyTo, requestDigest }: Manifest, org: string, { reply, peer }: Opening): void {
  if (!reply) {
    if (inReplyTo !== null || requestDigest !== null) throw refuse("an answer where a request is due");
    if (peer !== undefined && peer !== org) throw refuse(`signed by ${org}, sent over the connection of ${peer}`);
    return;
  }
  if (org !== reply.from || inReplyTo !== reply.inReplyTo || requestDigest !== reply.requestDigest)
    throw refuse("the answer to another request");
}

function entryOf(part: Manifest["parts"][number], origin: VerifiedOrigin | null): PartEntry {
  if (!("of" in part)) return part;
  const found = origin?.manifest.parts.find(({ n }) => n === part.of);
  if (!found || "of" in found) throw refuse("a part of the origin that is not there");
  return found;
}

async function buffered(parts: AsyncGenerator<AsyncIterable<Uint8Array>>, limit: number): Promise<Uint8Array> {
  const { value } = await parts.next();
  if (!value) throw new Fault("ENVELOPE_MALFORMED", "an envelope has at least four parts");
  return await collect(value, limit);
}

async function collect(source: AsyncIterable<Uint8Array>, limit: number): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const piece of source) {
    size += piece.length;
    if (size > limit) throw new Fault("TOO_LARGE", `a part is over ${limit} octets`);
    pieces.push(piece);
  }
  return pieces.length === 1 && pieces[0] ? pieces[0] : Buffer.concat(pieces, size);
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

async function* each(pieces: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* pieces;
}
