/**
 * Opens an envelope as the paper's Table 3 does, and verifies it, which Table 3 leaves out. DICOM parts are unsigned under
 * the same key as the CDA, so a reader that answers differently to different mistakes decrypts for whoever asks. Hence: one
 * attempt a key, reserved before anything is decrypted with it; every step is taken whatever failed before; one verdict.
 */
import { createHash, randomBytes } from "node:crypto";
import { Fault } from "../errors.ts";
import type { Trust } from "./path.ts";
import type { RawHeaders } from "./raw-headers.ts";
import { type KeyTransport, keyBytes } from "./semrs2017-algorithms.ts";
import type { LegacyUnwrapper } from "./semrs2017-keys.ts";
import { takeParts } from "./semrs2017-parts.ts";
import { openWith } from "./semrs2017-verdict.ts";
import type { Spool } from "./spool.ts";

/** A partner that speaks this profile: from configuration, never from the message. */
export type LegacyPartner = {
  readonly org: string;
  /** Exactly `semrs-2017`: it excludes every other. Its first verified semrs-2 envelope ends that for good. */
  readonly profiles: readonly string[];
  /** DER of its legacy signing certificates, and of others that help to build their paths. */
  readonly signing: readonly Uint8Array[];
  readonly chain: readonly Uint8Array[];
  readonly transport: KeyTransport;
};

/**
 * What became of a one-time key, told atomically and durably: `fresh` once; `spent` ever after, except that the same
 * envelope, octet for octet, gets the answer that was stored for it. (If none was stored, because the process ended
 * before, the same envelope is fresh again: the same octets tell nobody more the second time.)
 */
export type Reservation<Answer> = "fresh" | "spent" | { readonly stored: Answer };

export type Opening2017<Answer> = {
  /** Our own organisation. */
  readonly self: string;
  readonly unwrapper: LegacyUnwrapper;
  readonly trust: Trust;
  readonly now: Date;
  /** Whose TLS certificate is at the other end of this very connection. */
  readonly peer: LegacyPartner;
  readonly spool: Spool;
  /** Both SHA-256, hex. */
  reserve(keySha256: string, envelopeSha256: string): Promise<Reservation<Answer>>;
};

export type Opened2017 = {
  readonly outcome: "opened";
  /** The peer, whose signature the document has. */
  readonly org: string;
  readonly messageType: string;
  /** The CDA: digested, signed. */
  readonly document: Uint8Array;
  readonly documentSha256: string;
  readonly signature: Uint8Array;
  /** DER of the certificate that verifies it. */
  readonly signer: Uint8Array;
  readonly envelopeSha256: string;
  readonly instances: readonly OpenedInstance[];
};

/** A DICOM document that nobody signed: whoever knew the key, or changed ciphertext on the way, may have made it. */
export type OpenedInstance = {
  /** Its part: 5, 6, … */
  readonly n: number;
  readonly size: number;
  readonly integrity: "none";
  clear(): AsyncIterable<Uint8Array>;
};

export type Repeated<Answer> = { readonly outcome: "repeated"; readonly answer: Answer };

/** The only thing that is ever said of an envelope that did not open. */
const notOpened = "the envelope does not open";
/** Of what failed, so much is for the log: an envelope may have thousands of parts. */
const maxCauses = 32;

/**
 * ENVELOPE_UNSUPPORTED, ENVELOPE_MALFORMED, TOO_LARGE: the clear MIME, before any cryptography. ENVELOPE_NOT_OPENED, always
 * with the same message: everything else; its `cause` lists what failed, for the local log and for nobody else.
 */
export async function open2017<Answer>(
  headers: RawHeaders,
  body: AsyncIterable<Uint8Array>,
  opening: Opening2017<Answer>,
): Promise<Opened2017 | Repeated<Answer>> {
  const { peer, unwrapper } = opening;
  if (peer.profiles.length !== 1 || peer.profiles[0] !== "semrs-2017")
    throw new Fault("ENVELOPE_UNSUPPORTED", "no envelope profile that this partner uses; it does not send semrs-2017");
  // Table 3 step 1: the parts: 1 EncEMR, 2 EncDist, 3 EncSign, 4 EncKey, 5 … n DICOM.
  const taken = await takeParts(headers, body, opening.spool);
  // Table 3 step 2: the one-time key, with the private key; other octets in its place if it does not unwrap.
  const substitute = randomBytes(keyBytes);
  const oneTimeKey = unwrapper.unwrap(taken.encKey, peer.transport);
  const reservation = await opening.reserve(sha256(oneTimeKey), taken.envelopeSha256);
  // A key that was tried before opens nothing more, and takes as long to do so.
  const key = reservation === "fresh" ? oneTimeKey : substitute;
  const { failures, opened } = openWith(key, taken, opening);
  if (typeof reservation === "object") return { outcome: "repeated", answer: reservation.stored };
  if (reservation === "spent") failures.unshift("the one-time key was used before");
  if (failures.length > 0) {
    const cause = new Error(failures.slice(0, maxCauses).join("; "));
    throw new Fault("ENVELOPE_NOT_OPENED", notOpened, { cause });
  }
  return opened;
}

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
