/**
 * One part of an envelope: AES-256-GCM under a key of its own, framed as CMS AuthEnvelopedData (RFC 5083, RFC 5084) in
 * indefinite-length BER. The ciphertext rests as it is; head and tail are written around it whenever it is sent, so one
 * ciphertext serves any number of envelopes. Only the digests prove anything: a past recipient knows the key.
 */
import { createHash, createSecretKey, hash, hkdfSync, type KeyObject, randomBytes } from "node:crypto";
import { Fault } from "../errors.ts";
import { each } from "./cms/ber.ts";
import { gcmCipher } from "./primitives.ts";

/** A segment: the unit of digests, of release, and of the OCTET STRINGs on the wire. */
export const segmentBytes = 1 << 20;
/** AES-GCM takes at most 2^36 − 32 octets under one nonce (NIST SP 800-38D 5.2.1.1). */
export const maxPartBytes = 2 ** 36 - 32;
/** What is digested as a whole is held in memory until its digest matched. */
export const maxWholeBytes = 64 * 1024 * 1024;

/** Of SHA-256. */
export const digestBytes = 32;
const rootLabel = "semrs-2/root\0";

/** What opens a part and proves it. `whole`: sha256; `segments`: segs (SHA-256 of each segment) and root. Digests in hex. */
export type PartFacts = {
  readonly size: number;
  readonly sha256: string | null;
  readonly segs: Uint8Array | null;
  readonly root: string | null;
  readonly cek: Uint8Array;
  readonly nonce: Uint8Array;
  readonly tag: Uint8Array;
};

export type SealedPart = {
  /** Ciphertext, as many octets as the body. */
  readonly cipher: AsyncIterable<Uint8Array>;
  /** Known once the ciphertext has ended. */
  facts(): PartFacts;
};

/**
 * Digests and encrypts a body in one pass. Key and nonce are drawn here, never given, and used for this body alone. The
 * ciphertext throws TOO_LARGE beyond `limit` octets (64 MiB `whole`, 64 GiB − 32 in `segments` at most) and
 * ENVELOPE_MALFORMED for an empty body. `seen` is told each piece of clear text in the same pass, and null when that was the last; what it
 * returns is waited for.
 */
export function sealPart(
  body: AsyncIterable<Uint8Array>,
  form: "whole" | "segments",
  limit: number = Number.POSITIVE_INFINITY,
  seen: (chunk: Uint8Array | null) => void | Promise<void> = () => undefined,
): SealedPart {
  const most = Math.min(limit, form === "whole" ? maxWholeBytes : maxPartBytes);
  const drawn = randomBytes(44);
  const [cek, nonce] = [drawn.subarray(0, 32), drawn.subarray(32)];
  const digests = digester(form);
  let facts: PartFacts | undefined;
  async function* encrypted(): AsyncGenerator<Uint8Array> {
    const cipher = gcmCipher(cek, nonce);
    for await (const chunk of body) {
      if (chunk.length === 0) continue;
      if (digests.size() + chunk.length > most) throw new Fault("TOO_LARGE", `the part is over ${most} octets`);
      const reading = seen(chunk);
      if (reading) await reading;
      digests.update(chunk);
      yield cipher.update(chunk);
    }
    await seen(null);
    cipher.final();
    if (digests.size() === 0) throw new Fault("ENVELOPE_MALFORMED", "a part may not be empty");
    facts = { ...digests.done(), cek, nonce, tag: cipher.getAuthTag() };
  }
  return {
    cipher: encrypted(),
    facts: () => {
      if (!facts) throw new Fault("UNEXPECTED", "a part's facts are known only after its last octet");
      return facts;
    },
  };
}

/**
 * The same for octets that are at hand, at most 64 MiB digested as a whole: no stream stands between. `sha256` (hex) is theirs, where
 * it is known already. Faults as `sealPart`.
 */
export function sealOctets(
  octets: Uint8Array,
  sha256?: string,
): { readonly cipher: Uint8Array; readonly facts: PartFacts } {
  if (octets.length > maxWholeBytes) throw new Fault("TOO_LARGE", `the part is over ${maxWholeBytes} octets`);
  if (octets.length === 0) throw new Fault("ENVELOPE_MALFORMED", "a part may not be empty");
  const drawn = randomBytes(44);
  const [cek, nonce] = [drawn.subarray(0, 32), drawn.subarray(32)];
  const encryption = gcmCipher(cek, nonce);
  const cipher = encryption.update(octets);
  encryption.final();
  const digest = sha256 ?? hash("sha256", octets);
  const tag = encryption.getAuthTag();
  return { cipher, facts: { size: octets.length, sha256: digest, segs: null, root: null, cek, nonce, tag } };
}

/** `sealOctets` in the form of `sealPart`: what a store takes in. Of more than a mebibyte no second copy is held. */
export function sealWhole(octets: Uint8Array, sha256?: string): SealedPart {
  if (octets.length > segmentBytes) return sealPart(pieces(octets), "whole");
  const { cipher, facts } = sealOctets(octets, sha256);
  return { cipher: each([cipher]), facts: () => facts };
}

async function* pieces(octets: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < octets.length; at += segmentBytes) yield octets.subarray(at, at + segmentBytes);
}

export type Digests = Pick<PartFacts, "size" | "sha256" | "segs" | "root">;

/** Digests of a body that is read a second time to be encrypted: the manifest has to be signed before its first part is sent. */
export async function digestPart(body: AsyncIterable<Uint8Array>, form: "whole" | "segments"): Promise<Digests> {
  const digests = digester(form);
  for await (const chunk of body) digests.update(chunk);
  if (digests.size() === 0) throw new Fault("ENVELOPE_MALFORMED", "a part may not be empty");
  return digests.done();
}

/**
 * A part whose digests are known, encrypted once, while it is sent: asking for its ciphertext again is refused, since nothing
 * is ever encrypted twice under one key. Its facts have their tag when the ciphertext has ended.
 */
export function sealDigested(
  digests: Digests,
  body: () => AsyncIterable<Uint8Array>,
): { readonly facts: PartFacts; cipher(): AsyncIterable<Uint8Array> } {
  const [cek, nonce] = [randomBytes(32), randomBytes(12)];
  let tag: Uint8Array | undefined;
  let isBegun = false;
  async function* encrypted(): AsyncGenerator<Uint8Array> {
    const cipher = gcmCipher(cek, nonce);
    for await (const chunk of body()) if (chunk.length > 0) yield cipher.update(chunk);
    cipher.final();
    tag = cipher.getAuthTag();
  }
  return {
    facts: {
      ...digests,
      cek,
      nonce,
      get tag() {
        if (!tag) throw new Fault("UNEXPECTED", "a part's tag is known only after its last octet");
        return tag;
      },
    },
    cipher: () => {
      if (isBegun) throw new Fault("UNEXPECTED", "a part that is encrypted while it is sent is sent once");
      isBegun = true;
      return encrypted();
    },
  };
}

type Digester = {
  update(chunk: Uint8Array): void;
  size(): number;
  done(): Digests;
};

function digester(form: "whole" | "segments"): Digester {
  const unit = form === "whole" ? maxPartBytes : segmentBytes;
  const digests: Uint8Array[] = [];
  let hash = createHash("sha256");
  let size = 0;
  return {
    update: (chunk) => {
      for (let rest = chunk; rest.length > 0; ) {
        const piece = rest.subarray(0, unit - (size % unit));
        hash.update(piece);
        size += piece.length;
        rest = rest.subarray(piece.length);
        if (size % unit !== 0) continue;
        digests.push(hash.digest());
        hash = createHash("sha256");
      }
    },
    size: () => size,
    done: () => {
      if (size % unit !== 0) digests.push(hash.digest());
      const segs = Buffer.concat(digests);
      if (form === "whole") return { size, sha256: segs.toString("hex"), segs: null, root: null };
      return { size, sha256: null, segs, root: rootOf(size, segs) };
    },
  };
}

/** The digest of record of a segmented part: SHA-256("semrs-2/root" 00 ‖ u64 size ‖ segs), hex. */
export function rootOf(size: number, segs: Uint8Array): string {
  const octets = Buffer.alloc(8);
  octets.writeBigUInt64BE(BigInt(size));
  return createHash("sha256").update(rootLabel).update(octets).update(segs).digest("hex");
}

const derived = new WeakMap<Uint8Array, Map<string, KeyObject>>();

/** Keys of one envelope from its one-time key: HKDF-SHA256, salt = the 16 octets of the id. */
export function envelopeKey(oneTimeKey: Uint8Array, id: string, use: "wrap" | "header"): KeyObject {
  // Every part asks for the same key: it is derived once and forgotten with the one-time key.
  const known = derived.get(oneTimeKey) ?? new Map<string, KeyObject>();
  derived.set(oneTimeKey, known);
  const name = `${use} ${id}`;
  const key =
    known.get(name) ??
    createSecretKey(
      Buffer.from(hkdfSync("sha256", createSecretKey(oneTimeKey), Buffer.from(id, "hex"), `semrs-2/${use}`, 32)),
    );
  known.set(name, key);
  return key;
}
