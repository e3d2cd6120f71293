/** Seals an envelope (paper Table 2): headers, manifest, signature and one-time key around parts that are already ciphertext. */
import { createHash, randomBytes } from "node:crypto";
import { Fault } from "../errors.ts";
import { maxLifetimeMs } from "./binding.ts";
import { each } from "./cms/ber.ts";
import { framed, framedLength, framedOctets, keyHead, partHead, partTail, segments } from "./frame.ts";
import { headerKey, type RawHeaders, sealHeaders } from "./headers.ts";
import type { Signer } from "./keys.ts";
import type { Run } from "./laid-out.ts";
import { type Manifest, type Purpose, readManifest, writeManifest } from "./manifest.ts";
import { manifestOf } from "./manifest-of.ts";
import { closing, opening } from "./mime.ts";
import { type PartFacts, sealOctets, segmentBytes } from "./part.ts";
import { wrapFor } from "./recipient.ts";
import { manifestContentType, signDetached } from "./signed-data.ts";

/** One part: what it is, its digests and key, and where its ciphertext comes from. */
export type Content = {
  readonly role: "cda" | "command" | "dicom" | "attachment";
  /** Media type. */
  readonly type: string;
  /** SOP Instance UID: of a DICOM part, and only of one. */
  readonly sop?: string;
  readonly facts: PartFacts;
  cipher(): AsyncIterable<Uint8Array>;
  /** The ciphertext where it is at hand, one segment at most: it goes out in one piece. */
  readonly octets?: Uint8Array;
};

/** The author's own manifest and signature, and the registry receipts that date it: what a repository hands on (paper step 7). */
export type Origin = {
  readonly manifest: Uint8Array;
  readonly signature: Uint8Array;
  readonly marks: readonly Uint8Array[];
};

export type Draft = {
  readonly purpose: Purpose;
  /** Drawn when the record was accepted, the same for every sealing: 32 hex digits. */
  readonly message: string;
  readonly sender: string;
  /** X-EEC-MessageType: the EEC form, a LOINC code, or a command. */
  readonly messageType: string;
  /** DER of each receiver's decrypt certificate. */
  readonly to: readonly { readonly org: string; readonly certificate: Uint8Array }[];
  /** Part 1 first, then 5, 6, …; with an origin, each is one of the origin's. */
  readonly content: readonly Content[];
  readonly inReplyTo?: string;
  readonly requestDigest?: string;
  readonly origin?: Origin;
  /** Where the sender's audit log stands, for the receiver to keep; smime-4 carries it in receipts alone. */
  readonly log?: NonNullable<Manifest["log"]>;
};

export type Sealed = {
  readonly id: string;
  readonly manifest: Uint8Array;
  readonly signature: Uint8Array;
  /** Hex. */
  readonly manifestSha256: string;
  readonly headers: RawHeaders;
  /** Octets of the body. */
  readonly contentLength: number;
  /** The multipart body, once; the ciphertext of the parts is read as it goes, and not at all if this is never called. */
  body(): AsyncIterable<Uint8Array>;
};

/** An envelope of semrs-2, which can be laid out. */
export type SealedRuns = Sealed & {
  /** The same body as it lies, for whoever hands it out again and again; every part's tag has to be known. */
  runs(): Promise<readonly Run[]>;
};

export const dayMs = 24 * 3600 * 1000;
const oneTimeKeyBytes = 32;
/** Parts 2 to 4. */
const ownParts = 3;

/** A draft that is signed and not yet sealed for anybody: what an own repository keeps. */
export type Signed = Pick<Sealed, "id" | "manifest" | "signature" | "manifestSha256">;

/** Draws the id and signs the manifest. ENVELOPE_MALFORMED when the draft makes no manifest that a reader would take. */
export async function sign(draft: Draft, signer: Signer, now: Date, lifetimeMs = dayMs): Promise<Signed> {
  return (await signedWithHeaders(draft, signer, now, lifetimeMs)).signed;
}

/** The header values beside what is signed, so that the manifest is read back once a sealing. */
async function signedWithHeaders(
  draft: Draft,
  signer: Signer,
  now: Date,
  lifetimeMs: number,
): Promise<{ readonly signed: Signed; readonly headers: Manifest["headers"] }> {
  const { id, ...life } = drawLife(now, lifetimeMs);
  const manifest = writeManifest(manifestOf(draft, signer, id, life));
  const { headers } = checkedReadable(manifest);
  const signature = await signDetached(manifest, manifestContentType, signer, now);
  const manifestSha256 = createHash("sha256").update(manifest).digest("hex");
  return { signed: { id, manifest, signature, manifestSha256 }, headers };
}

/** A fresh id (48 bits of milliseconds, 80 random ones), and from when to when an envelope counts. */
export function drawLife(
  now: Date,
  lifetimeMs: number,
): { readonly id: string; readonly created: Date; readonly expires: Date } {
  if (!(lifetimeMs >= 1000 && lifetimeMs <= maxLifetimeMs))
    throw new Fault("CONFIG_INVALID", "an envelope lives for one second to seven days");
  const id = now.getTime().toString(16).padStart(12, "0") + randomBytes(10).toString("hex");
  return { id, created: now, expires: new Date(now.getTime() + lifetimeMs) };
}

/** Signs, draws the one-time key and wraps it for each recipient. CERTIFICATE_INVALID for a certificate that cannot be read. */
export async function seal(draft: Draft, signer: Signer, now: Date, lifetimeMs = dayMs): Promise<SealedRuns> {
  const { signed, headers } = await signedWithHeaders(draft, signer, now, lifetimeMs);
  const { id, manifest: octets, signature } = signed;
  const oneTimeKey = randomBytes(oneTimeKeyBytes);

  const ofEnvelope = (part: Encrypted): Framed => ({ ...part, head: partHead(part.facts, oneTimeKey, id) });
  // Part 4 holds the one-time key, under a key of its own that each recipient unwraps.
  const fourth = encrypted(oneTimeKey);
  const recipients = await Promise.all(draft.to.map(({ certificate }) => wrapFor(certificate, fourth.facts.cek)));
  const [first, ...others] = draft.content.map(ofEnvelope);
  const parts: readonly Framed[] = [
    ...(first ? [first] : []),
    ofEnvelope(encrypted(octets)),
    ofEnvelope(encrypted(signature)),
    { ...fourth, head: keyHead(recipients, fourth.facts.nonce) },
    ...others,
  ];
  const boundary = `semrs-${randomBytes(16).toString("hex")}`;
  const key = headerKey(oneTimeKey, id);
  return {
    ...signed,
    headers: [
      ["MIME-Version", "1.0"],
      ["X-SEMRS-Profile", "semrs-2"],
      ["X-SEMRS-Id", id],
      ...sealHeaders(key, headers),
      ["Content-Type", `multipart/mixed; boundary="${boundary}"`],
    ],
    contentLength: bodyLength(parts, boundary),
    body: () => bodyOf(parts, boundary),
    runs: () => runsOf(parts, boundary),
  };
}

type Encrypted = Pick<Content, "facts" | "cipher" | "octets">;
type Framed = Encrypted & { readonly head: Uint8Array };

function bodyLength(parts: readonly Framed[], boundary: string): number {
  const lengths = parts.map(
    ({ head, facts }, index) => opening(boundary, index).length + framedLength(facts.size, head.length),
  );
  return lengths.reduce((sum, length) => sum + length, closing(boundary).length);
}

/** What is at hand goes out in one piece up to the next part that is not. */
async function* bodyOf(parts: readonly Framed[], boundary: string): AsyncGenerator<Uint8Array> {
  let ready: Uint8Array[] = [];
  for (const [index, { head, facts, cipher, octets }] of parts.entries()) {
    ready.push(opening(boundary, index));
    if (octets) ready.push(...framedOctets(head, octets, facts.tag));
    else {
      yield Buffer.concat(ready);
      ready = [];
      yield* framed(head, cipher(), facts.size, () => facts.tag);
    }
  }
  yield Buffer.concat([...ready, closing(boundary)]);
}

/** Parts 2 to 4 are of this envelope alone and stand as octets; the others rest where their content does. */
async function runsOf(parts: readonly Framed[], boundary: string): Promise<readonly Run[]> {
  const runs: Run[] = [];
  let octets: Uint8Array[] = [];
  for (const [at, { head, facts, cipher }] of parts.entries()) {
    octets.push(opening(boundary, at), head);
    if (at === 0 || at > ownParts) {
      runs.push({ octets: Buffer.concat(octets) }, { index: at === 0 ? 0 : at - ownParts, size: facts.size });
      octets = [];
    } else octets.push(...(await Array.fromAsync(segments(cipher(), facts.size))));
    octets.push(partTail(facts.tag));
  }
  return [...runs, { octets: Buffer.concat([...octets, closing(boundary)]) }];
}

/** What the own reader refuses is not sent: it would be refused at the other end, after the bulk was. */
function checkedReadable(octets: Uint8Array): Manifest {
  try {
    return readManifest(octets);
  } catch (cause) {
    throw new Fault("ENVELOPE_MALFORMED", `the draft makes no envelope: ${(cause as Error).message}`, { cause });
  }
}

/** A command or receipt as part 1. */
export async function contentOf(bytes: Uint8Array, role: "command", type: string): Promise<Content> {
  return { role, type, ...encrypted(bytes) };
}

/** Octets that are at hand, under a fresh key. */
function encrypted(octets: Uint8Array): Encrypted {
  const { cipher, facts } = sealOctets(octets);
  const pieces = chunks(cipher);
  return { facts, cipher: () => each(pieces), ...(pieces.length === 1 && { octets: cipher }) };
}

function chunks(bytes: Uint8Array): readonly Uint8Array[] {
  const count = Math.ceil(bytes.length / segmentBytes);
  return Array.from({ length: count }, (_, index) => bytes.subarray(index * segmentBytes, (index + 1) * segmentBytes));
}
