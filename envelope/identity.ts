/** Who we are and whom we know: one list for sealing, opening and trust. Keys come in as values; nobody here reads a file. */
import { Fault } from "../errors.ts";
import type { Signer, Unwrapper } from "./keys.ts";
import type { Opening } from "./open.ts";
import type { Trust } from "./path.ts";
import type { Draft } from "./seal.ts";
import type { LegacySigner, LegacyUnwrapper } from "./semrs2017-keys.ts";
import type { LegacyPartner } from "./semrs2017-open.ts";

export type Partner = {
  readonly org: string;
  /** SHA-256 (hex) of the certificates whose signatures are this partner's. */
  readonly signing: readonly string[];
  /** DER of the certificate that records are sealed for; a partner with semrs-2017 may have none. */
  readonly decrypt: Uint8Array | undefined;
  /** SHA-256 (hex) of its TLS certificate. */
  readonly tls: string;
  readonly profiles: readonly string[];
  /** Who else may hand on what it has authored. */
  readonly relays?: readonly string[];
  /** It speaks semrs-2017, until its first verified semrs-2 envelope. */
  readonly legacy?: LegacyPartner & { /** DER. */ readonly decrypt: Uint8Array };
};

export type Identity = {
  readonly org: string;
  readonly signer: Signer;
  readonly unwrappers: readonly Unwrapper[];
  /** Keys of semrs-2017, which serve nothing else; only where a partner speaks it. */
  readonly legacy?: { readonly signer: LegacySigner; readonly unwrapper: LegacyUnwrapper };
  readonly trust: Trust;
  /** Our own certificates, as a partner sees them. */
  readonly self: Partner;
  readonly partners: ReadonlyMap<string, Partner>;
};

/** The owner of a signing certificate: a partner or ourselves, never what a message says. */
export function ownerOf(identity: Identity, certificateSha256: string): Partner | undefined {
  if (identity.self.signing.includes(certificateSha256)) return identity.self;
  for (const partner of identity.partners.values()) if (partner.signing.includes(certificateSha256)) return partner;
  return undefined;
}

/** A partner as it speaks semrs-2017, as long as it does: its first verified semrs-2 envelope ends it (refusal 98). */
export function legacyOf(identity: Identity, org: string, hasEnded: (org: string) => boolean): Partner["legacy"] {
  const legacy = identity.partners.get(org)?.legacy;
  return legacy && !hasEnded(org) ? legacy : undefined;
}

/** A partner as receiver of an envelope; RECIPIENT_UNKNOWN without a certificate to seal for. */
export function receiverOf({ org, decrypt }: Partner): Draft["to"][number] {
  if (decrypt) return { org, certificate: decrypt };
  throw new Fault("RECIPIENT_UNKNOWN", `there is no certificate to seal for ${org}; ask it for its decrypt.crt`);
}

/** What `open` needs to know about us, for one envelope. */
export function openingFor(
  identity: Identity,
  envelope: Pick<Opening, "now" | "purposes" | "hasSeen"> & Partial<Pick<Opening, "peer" | "reply">>,
): Opening {
  return {
    self: identity.org,
    unwrappers: identity.unwrappers,
    trust: identity.trust,
    partner: (sha256) => ownerOf(identity, sha256),
    ...envelope,
  };
}
