/**
 * Opens an envelope in the one order that is safe (SPEC.md, "Verification order"): nothing of part 5 is read before the
 * signature holds, nothing is handed on before its signed digest matched. Whatever fails is one Fault; its message is for
 * the local log, the peer is told nothing of it.
 */
import { createHash } from "node:crypto";
import { Fault } from "../errors.ts";
import { checkAnswer, checkHeaders, checkRecipients, checkSender, checkTime, type Recipient } from "./binding.ts";
import { buffered } from "./buffered.ts";
import type { Certificate } from "./certificate.ts";
import { type Held, type Unframed, unframe, unframeHeld, unframeKey } from "./frame.ts";
import { type RawHeaders, readHeaders } from "./headers.ts";
import type { Unwrapper } from "./keys.ts";
import { entriesOf, type Manifest, maxParts, maxReaddressedBytes, type Purpose, readManifest } from "./manifest.ts";
import { readParts } from "./mime.ts";
import { type HeldPart, type OpenedPart, openParts } from "./opened-part.ts";
import { openOrigin, type VerifiedOrigin } from "./origin.ts";
import { maxWholeBytes } from "./part.ts";
import type { Trust } from "./path.ts";
import { gcmOpen } from "./primitives.ts";
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
  /** Owner of a signing certificate (SHA-256, hex), the registry's too; never what a message says. */
  partner(certificateSha256: string, certificate: Certificate): Owner | undefined;
  /** Whether this sender's envelope was opened before. */
  hasSeen(org: string, id: string): boolean;
  /** The organisation at the other end of the TLS connection. */
  readonly peer?: string;
  /** Told whose envelope it is, once signature and receiver hold: who that is may be told why it is refused. */
  verified?(sender: VerifiedSender): void;
  /** Set when this is the answer to a request of ours: its id, the SHA-256 (hex) of its manifest, whom it was sealed for. */
  readonly reply?: { readonly inReplyTo: string; readonly requestDigest: string; readonly from: string };
};

/** Who signed an envelope, and which one. */
export type VerifiedSender = {
  readonly org: string;
  readonly manifestSha256: string;
  readonly manifest: Pick<Manifest, "id" | "message"> & { readonly profile: "semrs-2" | "smime-4" };
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
  /** Part 1, then 5, 6 …, once; complete only when the generator has ended. */
  parts(): AsyncGenerator<OpenedPart>;
};

/** Room for the CMS frame around a small part. */
const frameBytes = 4096;
const limits = {
  document: maxWholeBytes + frameBytes,
  manifest: maxReaddressedBytes + frameBytes,
  signature: 1024 * 1024,
  key: 256 * 1024,
} as const;
const oneTimeKeyBytes = 32;
/** Parts 2 to 4, which the manifest does not list. */
const ownParts = 3;

const refuse = (what: string, cause?: unknown): Fault => new Fault("ENVELOPE_NOT_OPENED", what, { cause });

/**
 * Resolves once everything up to the replay check holds; the parts' bodies are verified while they are read. The body is
 * read no further than needed and stays the caller's to close. Small parts are held where they came: what it yields has to stay as it is.
 *
 * ENVELOPE_UNSUPPORTED: no profile of ours. ENVELOPE_MALFORMED, TOO_LARGE: the clear MIME. NOT_PERMITTED: the purpose.
 * ENVELOPE_EXPIRED, ENVELOPE_REPLAYED. ENVELOPE_NOT_OPENED: everything else, with the cause in its message.
 */
export async function open(headers: RawHeaders, body: AsyncIterable<Uint8Array>, opening: Opening): Promise<Opened> {
  const clear = readHeaders(headers);
  const bodies = readParts(body, clear.boundary, maxParts + ownParts);
  const document = await buffered(bodies, limits.document);
  const second = await buffered(bodies, limits.manifest);
  const third = await buffered(bodies, limits.signature);
  const fourth = await buffered(bodies, limits.key);

  const { oneTimeKey, unwrapper, recipients } = await unwrap(fourth, opening.unwrappers);
  const manifestBytes = openSmall(second, oneTimeKey, clear.id);
  const signature = openSmall(third, oneTimeKey, clear.id);
  const { now, trust, partner } = opening;
  const signer = verifySigner(manifestBytes, signature, { trust, at: now, now, partner });
  const { org } = signer.owner;

  const manifest = readManifest(manifestBytes);
  checkSender(manifest, signer);
  checkRecipients(manifest, recipients, { self: opening.self, certificate: unwrapper.certificate });
  const manifestSha256 = createHash("sha256").update(manifestBytes).digest("hex");
  opening.verified?.({ org, manifest, manifestSha256 });
  checkTime(manifest, signer.signingTime, now);
  checkHeaders(manifest, clear, { oneTimeKey, signer: signer.certificate, recipients });
  if (!opening.purposes.includes(manifest.purpose)) {
    throw new Fault("NOT_PERMITTED", `an envelope that is for ${manifest.purpose} is not taken here`);
  }
  checkAnswer(manifest, org, opening);
  const origin = manifest.origin ? openOrigin(manifest.origin, manifest, org, opening) : null;
  if (opening.hasSeen(org, manifest.id))
    throw new Fault("ENVELOPE_REPLAYED", `an envelope of ${org} with this id was opened before`);

  const entries = entriesOf(manifest);
  async function* all(): AsyncGenerator<HeldPart | Unframed> {
    yield unframeHeld(document, oneTimeKey, clear.id);
    for await (const body of bodies) yield await unframe(body, oneTimeKey, clear.id);
  }
  return {
    manifest,
    manifestBytes,
    manifestSha256,
    signature,
    org,
    origin,
    parts: () => openParts(entries, all()),
  };
}

/** The one RecipientInfo that is ours, the key of part 4 from it, and the one-time key under that. */
async function unwrap(
  part4: Uint8Array,
  unwrappers: readonly Unwrapper[],
): Promise<{
  readonly oneTimeKey: Uint8Array;
  readonly unwrapper: Unwrapper;
  readonly recipients: readonly Recipient[];
}> {
  const unframed = unframeKey(part4);
  const recipients = unframed.recipients.map((info): Recipient => ({ info, ski: skiOf(info) }));
  const ours = recipients.flatMap(({ info, ski }) =>
    unwrappers.filter((each) => each.ski === ski).map((unwrapper) => ({ info, unwrapper })),
  );
  const [found, ...more] = ours;
  if (!found) throw refuse("part 4: no RecipientInfo is for a key of ours");
  if (more.length > 0) throw refuse("part 4: more than one RecipientInfo is for a key of ours");
  const oneTimeKey = decrypt(unframed, await found.unwrapper.unwrap(found.info), "part 4");
  if (oneTimeKey.length !== oneTimeKeyBytes) throw refuse(`part 4: a one-time key of ${oneTimeKey.length} octets`);
  return { oneTimeKey, unwrapper: found.unwrapper, recipients };
}

function skiOf(recipientInfo: Uint8Array): string {
  try {
    return recipientSki(recipientInfo);
  } catch (cause) {
    throw refuse(`part 4: ${cause instanceof Fault ? cause.message : "a RecipientInfo that cannot be read"}`, cause);
  }
}

function openSmall(part: Uint8Array, oneTimeKey: Uint8Array, id: string): Uint8Array {
  const held = unframeHeld(part, oneTimeKey, id);
  return decrypt(held, held.cek, "part 2 or 3");
}

/** Authenticated by its tag alone: for the manifest, its signature, and the key that both are under. */
function decrypt({ nonce, segments, tag }: Held, cek: Uint8Array, what: string): Uint8Array {
  const [only = new Uint8Array(), ...more] = segments;
  try {
    return gcmOpen(cek, nonce, more.length === 0 ? only : Buffer.concat(segments), tag);
  } catch (cause) {
    throw refuse(`${what}: its tag does not hold`, cause);
  }
}
