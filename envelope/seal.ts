/** Seals an envelope (paper Table 2): headers, manifest, signature and one-time key around parts that are already ciphertext. */
import { createHash, randomBytes } from "node:crypto";
import { Fault } from "../errors.ts";
import { readCertificate } from "./certificate.ts";
import { framed, framedLength, keyHead, partHead } from "./frame.ts";
import { headerKey, type RawHeaders, sealHeader } from "./headers.ts";
import type { Signer } from "./keys.ts";
import { type HeaderName, headerNames, type Manifest, type Purpose, readManifest, writeManifest } from "./manifest.ts";
import { closing, opening } from "./mime.ts";
import { type PartFacts, sealPart, segmentBytes } from "./part.ts";
import { asymmetricAlgorithm, wrapFor } from "./recipient.ts";
import { manifestContentType, signDetached } from "./signed-data.ts";

/** One part: what it is, its digests and key, and where its ciphertext comes from. */
export type Content = {
  readonly role: "cda" | "command" | "dicom" | "attachment";
  /** Media type. */
  readonly type: string;
  /** SOP Instance UID of a DICOM part. */
  readonly sop?: string;
  readonly facts: PartFacts;
  cipher(): AsyncIterable<Uint8Array>;
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
  readonly to: readonly { readonly org: string; readonly certificate: Uint8Array }[];
  /** Part 1 first. */
  readonly content: readonly Content[];
  readonly inReplyTo?: string;
  readonly requestDigest?: string;
  readonly origin?: Origin;
};

export type Sealed = {
  readonly id: string;
  readonly manifest: Uint8Array;
  readonly signature: Uint8Array;
  /** Hex. */
  readonly manifestSha256: string;
  readonly headers: RawHeaders;
  readonly contentLength: number;
  /** The multipart body; reads the parts' ciphertext as it goes. */
  body(): AsyncIterable<Uint8Array>;
};

const dayMs = 24 * 3600 * 1000;
const maxLifetimeMs = 7 * dayMs;

/** Draws id and one-time key, signs the manifest, wraps the key for each recipient. The parts are read only by `body`. */
export async function seal(draft: Draft, signer: Signer, now: Date, lifetimeMs = dayMs): Promise<Sealed> {
  if (lifetimeMs > maxLifetimeMs) throw new Fault("CONFIG_INVALID", "an envelope lives for seven days at most");
  const id = now.getTime().toString(16).padStart(12, "0") + randomBytes(10).toString("hex");
  const oneTimeKey = randomBytes(32);
  const manifest = manifestOf(draft, signer, id, now, lifetimeMs);
  const octets = writeManifest(manifest);
  const signature = await signDetached(octets, manifestContentType, signer, now);
  // Part 4 holds the one-time key, under a key of its own that each recipient unwraps.
  const fourth = await small(oneTimeKey);
  const recipients = await Promise.all(draft.to.map(({ certificate }) => wrapFor(certificate, fourth.facts.cek)));
  const boundary = `semrs-${randomBytes(16).toString("hex")}`;

  const [second, third] = [await small(octets), await small(signature)];
  const keyPart = {
    head: keyHead(recipients, fourth.facts.nonce),
    facts: fourth.facts,
    cipher: () => once(fourth.cipher),
  };
  const contents = draft.content.map(({ facts, cipher }) => ({ head: partHead(facts, oneTimeKey, id), facts, cipher }));
  const [first, ...images] = contents;
  if (!first) throw new Fault("UNEXPECTED", "an envelope has at least part 1");
  const ofSmall = ({ facts, cipher }: Small) => ({
    head: partHead(facts, oneTimeKey, id),
    facts,
    cipher: () => once(cipher),
  });
  const parts = [first, ofSmall(second), ofSmall(third), keyPart, ...images];

  const key = headerKey(oneTimeKey, id);
  const sealedHeaders = headerNames.map((name): [string, string] => [
    name,
    sealHeader(key, name, manifest.headers[name]),
  ]);
  const openings = parts.map((_, n) => opening(boundary, n));
  const lengths = parts.map(({ head, facts }, n) => (openings[n]?.length ?? 0) + framedLength(facts.size, head.length));
  async function* body(): AsyncGenerator<Uint8Array> {
    for (const [n, { head, facts, cipher }] of parts.entries()) {
      yield openings[n] ?? new Uint8Array();
      yield* framed(head, cipher(), facts.size, facts.tag);
    }
    yield closing(boundary);
  }
  return {
    id,
    manifest: octets,
    signature,
    manifestSha256: createHash("sha256").update(octets).digest("hex"),
    headers: [
      ["MIME-Version", "1.0"],
      ["X-SEMRS-Profile", "semrs-2"],
      ["X-SEMRS-Id", id],
      ...sealedHeaders,
      ["Content-Type", `multipart/mixed; boundary="${boundary}"`],
    ],
    contentLength: lengths.reduce((sum, length) => sum + length, closing(boundary).length),
    body,
  };
}

/** A command or receipt as part 1. */
export async function contentOf(bytes: Uint8Array, role: "command", type: string): Promise<Content> {
  const { facts, cipher } = await small(bytes);
  return { role, type, facts, cipher: () => once(cipher) };
}

type Small = { readonly facts: PartFacts; readonly cipher: Uint8Array };

async function small(bytes: Uint8Array): Promise<Small> {
  const part = sealPart(once(bytes), "whole");
  const pieces: Uint8Array[] = [];
  for await (const piece of part.cipher) pieces.push(piece);
  return { facts: part.facts(), cipher: Buffer.concat(pieces) };
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += segmentBytes) yield bytes.subarray(at, at + segmentBytes);
}

function manifestOf(draft: Draft, signer: Signer, id: string, now: Date, lifetimeMs: number): Manifest {
  const { sha256: cert } = readCertificate(signer.certificate);
  const seconds = (at: number) => `${new Date(at).toISOString().slice(0, 19)}Z`;
  const algorithms = new Set(draft.to.map(({ certificate }) => asymmetricAlgorithm(certificate)));
  const headers: Record<HeaderName, string> = {
    "X-EEC-Sender": draft.sender,
    "X-EEC-Receiver": draft.to.map(({ org }) => org).join(","),
    "X-EEC-SymmetricAlg": "aes-256-gcm",
    "X-EEC-AsymmetricAlg": [...algorithms].join(","),
    "X-EEC-DistAlg": "sha-256",
    "X-EEC-SignAlg": signer.algorithm,
    "X-EEC-BodypartCnt": String(draft.content.length + 3),
    "X-EEC-HeaderCnt": String(headerNames.length),
    "X-EEC-MessageType": draft.messageType,
  };
  const { origin } = draft;
  return {
    profile: "semrs-2",
    id,
    message: draft.message,
    created: seconds(now.getTime()),
    expires: seconds(now.getTime() + lifetimeMs),
    purpose: draft.purpose,
    inReplyTo: draft.inReplyTo ?? null,
    requestDigest: draft.requestDigest ?? null,
    sender: { org: draft.sender, cert },
    to: draft.to.map(({ org, certificate }) => {
      const { sha256, ski } = readCertificate(certificate);
      return { org, cert: sha256, ski };
    }),
    headers,
    parts: origin ? referTo(draft.content, origin) : draft.content.map(describe),
    origin: origin
      ? { manifest: base64(origin.manifest), signature: base64(origin.signature), marks: origin.marks.map(base64) }
      : null,
    log: null,
  };
}

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");
const numberOf = (index: number): number => (index === 0 ? 1 : index + 4);

function describe({ role, type, sop, facts }: Content, index: number): Manifest["parts"][number] {
  const { size, sha256, segs, root } = facts;
  const n = numberOf(index);
  if ((role === "cda" || role === "command") && sha256 !== null) return { n, role, type, size, sha256 };
  if ((role === "dicom" || role === "attachment") && segs !== null && root !== null) {
    return { n, role, type, size, seg: segmentBytes, segs: base64(segs), root, ...(sop ? { sop } : {}) };
  }
  throw new Fault("UNEXPECTED", `a ${role} part was sealed with the digests of another role`);
}

/** Re-addressing: each part is one of the origin's, found by its digest of record. */
function referTo(content: readonly Content[], origin: Origin): Manifest["parts"] {
  const { parts } = readManifest(origin.manifest);
  const left = [...parts];
  return content.map(({ facts }, index) => {
    const at = left.findIndex((part) =>
      "sha256" in part ? part.sha256 === facts.sha256 : "root" in part && part.root === facts.root,
    );
    const [found] = at < 0 ? [] : left.splice(at, 1);
    if (!found) throw new Fault("STORE_DAMAGED", "a part is not one of the author's manifest");
    return { n: numberOf(index), of: found.n };
  });
}
