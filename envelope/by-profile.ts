/**
 * Sealing and opening by profile, for partners that agreed on one: which profile an envelope is follows from its clear headers
 * alone and has to be one that this peer uses; no other is tried after a failure. `semrs-2017` has its own ways
 * (semrs2017-open.ts): it is neither signed nor dated as a whole, and nothing of it is answered.
 */
import { Fault } from "../errors.ts";
import type { Signer } from "./keys.ts";
import { type Opened, open } from "./open.ts";
import { profileOf } from "./profile.ts";
import type { RawHeaders } from "./raw-headers.ts";
import { type Draft, dayMs, type Sealed, seal } from "./seal.ts";
import { type OpenedSmime4, openSmime4, type Smime4Opening } from "./smime4.ts";
import { sealSmime4 } from "./smime4-seal.ts";

/** Octets of one smime-4 message between houses: all of it is unverified until its end, and a peer may have 256 MiB of that. */
export const maxBetweenHouses = 240 * 1024 * 1024;

/** Profiles that carry every request and its answer. */
export type WholeProfile = "semrs-2" | "smime-4";
export type AnyOpened = Opened | OpenedSmime4;

const sealers: Readonly<Record<WholeProfile, (draft: Draft, signer: Signer, now: Date) => Promise<Sealed>>> = {
  "semrs-2": seal,
  "smime-4": (draft, signer, now) => sealSmime4(draft, signer, now, dayMs, maxBetweenHouses),
};

/** As `seal` and `sealSmime4`; TOO_LARGE for an smime-4 message of more than 240 MiB. */
export const sealAs = (profile: WholeProfile, draft: Draft, signer: Signer, now: Date): Promise<Sealed> =>
  sealers[profile](draft, signer, now);

/** As `open` and `openSmime4`; ENVELOPE_UNSUPPORTED for a profile that is not among these, before anything is read. */
export async function openAs(
  profiles: readonly string[],
  headers: RawHeaders,
  body: AsyncIterable<Uint8Array>,
  opening: Smime4Opening,
): Promise<AnyOpened> {
  const profile = profileOf(headers);
  if (!profiles.includes(profile))
    throw new Fault("ENVELOPE_UNSUPPORTED", `${profile} is not what this partner is configured for`);
  if (profile === "smime-4") return await openSmime4(headers, body, { maxBytes: maxBetweenHouses, ...opening });
  return await open(headers, body, opening);
}
