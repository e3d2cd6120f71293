/**
 * Opens an S/MIME 4.0 message (RFC 8551): AuthEnvelopedData over SignedData over the record. The message proves itself only at
 * its end, so its clear text waits in a spool, encrypted under a key of this run, and is not looked at before its tag holds; then
 * the signature, then what the signed headers say, and only then a part is handed on.
 */
import { Fault } from "../errors.ts";
import { checkAnswer, checkTime } from "./binding.ts";
import { readCertificate } from "./certificate.ts";
import { headerNames, type Manifest, type PartEntry } from "./manifest.ts";
import type { Opened, Opening } from "./open.ts";
import { type PartFacts, sealPart } from "./part.ts";
import { openCipher } from "./part-open.ts";
import { profileOf } from "./profile.ts";
import { type RawHeaders, valuesOf } from "./raw-headers.ts";
import { trustedOwner } from "./signer.ts";
import { asNotOpened, decoded } from "./smime4-entity.ts";
import { type Enveloped, openEnveloped } from "./smime4-frame.ts";
import type { SignedHead } from "./smime4-headers.ts";
import { describeParts, openEntries, readEntity } from "./smime4-parts.ts";
import { openSigned, type SignedBy } from "./smime4-signed.ts";
import type { Spool, Spooled } from "./spool.ts";

/** Octets inside the outer CMS of one message, unless the caller says otherwise: tools on the other side hold them in memory. */
export const maxSmime4Bytes = 512 * 1024 * 1024;
/** What frames, small segments and base64 may add on the wire. */
const wireBytes = (maxBytes: number): number => 2 * maxBytes + 1024 * 1024;

export type Smime4Opening = Opening & {
  readonly spool: Spool;
  /** Octets inside the outer CMS: base64 there makes it a third more than the record. */
  readonly maxBytes?: number;
};

/** What the signed headers and parts say, in the shape of a manifest; part numbers are those of semrs-2. */
export type Smime4Manifest = Omit<Manifest, "profile" | "to" | "parts" | "origin" | "log"> & {
  readonly profile: "smime-4";
  readonly to: readonly { readonly org: string; readonly cert: string }[];
  readonly parts: PartEntry[];
  readonly origin: null;
  readonly log: null;
};

/**
 * As `Opened`. `manifestBytes` are the signed headers, `signature` is the SignedData without its content, and `manifestSha256` is
 * of all that is signed: what receipts and answers name.
 */
export type OpenedSmime4 = Omit<Opened, "manifest" | "origin"> & {
  readonly manifest: Smime4Manifest;
  readonly origin: null;
};

const refuse = (what: string): Fault => new Fault("ENVELOPE_NOT_OPENED", what);

/**
 * Resolves once everything holds; the parts are read from the spool, which must live as long. The body is read to its end, and
 * stays the caller's to close. Faults are those of `open`, and STORE_DAMAGED for a spool that gives back other octets.
 */
export async function openSmime4(
  headers: RawHeaders,
  body: AsyncIterable<Uint8Array>,
  opening: Smime4Opening,
): Promise<OpenedSmime4> {
  checkProfile(headers);
  const { spool, maxBytes = maxSmime4Bytes, trust, now, partner } = opening;
  const enveloped = await openEnveloped(decoded(headers, limited(body, wireBytes(maxBytes))), opening.unwrappers);
  const { facts, spooled } = await keep(enveloped.clear, spool, maxBytes);

  const signed = await within(fromSpool(spooled, facts), async (clear) => {
    const { content, signer } = await openSigned(clear);
    for await (const _ of content);
    return await signer();
  });
  const { certificate, certificates, detached, sha256 } = signed;
  const { owner } = trustedOwner(certificate, certificates, { trust, at: now, now, partner });
  if (!owner.profiles.includes("smime-4")) throw refuse(`${owner.org} is not configured for smime-4`);

  const { octets, manifest } = await within(fromSpool(spooled, facts), async (clear) => {
    const { octets, head, bodies } = await readEntity((await openSigned(clear)).content);
    checkHead(head, { org: owner.org, signed, enveloped, self: opening.self });
    const { id, message } = head;
    opening.verified?.({ org: owner.org, manifestSha256: sha256, manifest: { profile: "smime-4", id, message } });
    checkTime(head, signed.signingTime, now);
    if (!opening.purposes.includes(head.purpose))
      throw new Fault("NOT_PERMITTED", `an envelope that is for ${head.purpose} is not taken here`);
    checkAnswer(head, owner.org, opening);
    if (opening.hasSeen(owner.org, head.id))
      throw new Fault("ENVELOPE_REPLAYED", `an envelope of ${owner.org} with this id was opened before`);
    const parts = await describeParts(bodies(), head.headers);
    const cert = readCertificate(certificate).sha256;
    return { octets, manifest: manifestOf(head, { org: owner.org, cert }, parts) };
  });

  return {
    manifest,
    manifestBytes: octets,
    manifestSha256: sha256,
    signature: detached,
    org: owner.org,
    origin: null,
    parts: async function* () {
      const clear = fromSpool(spooled, facts);
      try {
        const { bodies } = await readEntity((await openSigned(clear)).content);
        yield* openEntries(manifest.parts, bodies());
      } finally {
        await clear.return(undefined);
      }
    },
  };
}

/** Clear headers tell this profile, and no other at the same time. */
function checkProfile(headers: RawHeaders): void {
  const isOther = [...valuesOf(headers).keys()].some((name) => /^x-(eec|semrs)-/.test(name));
  if (isOther || profileOf(headers) !== "smime-4")
    throw new Fault("ENVELOPE_UNSUPPORTED", "no envelope profile that is accepted here; send smime-4");
}

async function* limited(body: AsyncIterable<Uint8Array>, limit: number): AsyncGenerator<Uint8Array> {
  let left = limit;
  for await (const chunk of body) {
    left -= chunk.length;
    if (left < 0) throw new Fault("TOO_LARGE", `the message is over ${limit} octets`);
    yield chunk;
  }
}

/** Into the spool under a fresh key; resolves only when the tag of the message holds. */
async function keep(
  clear: AsyncIterable<Uint8Array>,
  spool: Spool,
  maxBytes: number,
): Promise<{ readonly facts: PartFacts; readonly spooled: Spooled }> {
  const { cipher, facts } = sealPart(clear, "segments", maxBytes);
  try {
    const spooled = await spool.write(cipher);
    return { facts: facts(), spooled };
  } catch (thrown) {
    if (thrown instanceof Fault && thrown.code === "TOO_LARGE")
      throw new Fault("TOO_LARGE", `the message holds over ${maxBytes} octets`, { cause: thrown });
    throw asNotOpened(thrown);
  }
}

/** What was spooled, each mebibyte handed on only if it is the one that was written. */
async function* fromSpool(spooled: Spooled, facts: PartFacts): AsyncGenerator<Uint8Array> {
  try {
    yield* openCipher(spooled.read(), facts);
  } catch (cause) {
    if (!(cause instanceof Fault && cause.code === "ENVELOPE_NOT_OPENED")) throw cause;
    throw new Fault("STORE_DAMAGED", "the spool gave back other octets than were written; check its disk", { cause });
  }
}

async function within<T>(
  clear: AsyncGenerator<Uint8Array>,
  work: (clear: AsyncIterable<Uint8Array>) => Promise<T>,
): Promise<T> {
  try {
    return await work(clear);
  } catch (thrown) {
    throw asNotOpened(thrown);
  } finally {
    await clear.return(undefined);
  }
}

/** What is signed is true of this message: who signed it, for whom it is, and how it is sealed. */
function checkHead(
  { headers, sender, to, receivers }: SignedHead,
  {
    org,
    self,
    signed,
    enveloped,
  }: { readonly org: string; readonly self: string; readonly signed: SignedBy; readonly enveloped: Enveloped },
): void {
  const { recipients, unwrapper } = enveloped;
  if (sender !== org) throw refuse("the sender is not the one who signed");
  if (to.length !== recipients.length) throw refuse("X-SEMRS-To and the RecipientInfos differ in number");
  const { sha256 } = readCertificate(unwrapper.certificate);
  if (!to.some((cert, index) => cert === sha256 && receivers[index] === self))
    throw refuse("the envelope is not for our certificate");
  // A SET OF has no order of its own, so neither have the algorithms.
  const algorithms = [...new Set(recipients.map(({ algorithm }) => algorithm))].sort().join(",");
  const truth: Partial<typeof headers> = {
    "X-EEC-SymmetricAlg": "aes-256-gcm",
    "X-EEC-DistAlg": signed.digest === "sha512" ? "sha-512" : "sha-256",
    "X-EEC-SignAlg": signed.algorithm,
    "X-EEC-HeaderCnt": String(headerNames.length),
  };
  const said = headers["X-EEC-AsymmetricAlg"].split(",").sort().join(",");
  if (said !== algorithms) throw refuse("X-EEC-AsymmetricAlg is signed and not true of this envelope");
  for (const name of headerNames)
    if (headers[name] !== (truth[name] ?? headers[name]))
      throw refuse(`${name} is signed and not true of this envelope`);
}

const manifestOf = (
  { to, receivers, ...said }: SignedHead,
  sender: Manifest["sender"],
  parts: PartEntry[],
): Smime4Manifest => ({
  profile: "smime-4",
  ...said,
  sender,
  to: to.map((cert, index) => ({ org: receivers[index] ?? "", cert })),
  parts,
  origin: null,
  log: null,
});
