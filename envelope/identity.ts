/** Who we are and whom we know: one list for sealing, opening and trust. Keys come in as values; nobody here reads a file. */
import type { Signer, Unwrapper } from "./keys.ts";
import type { Opening } from "./open.ts";
import type { Trust } from "./path.ts";

export type Partner = {
  readonly org: string;
  /** SHA-256 (hex) of the certificates whose signatures are this partner's. */
  readonly signing: readonly string[];
  /** DER of the certificate that records are sealed for. */
  readonly decrypt: Uint8Array;
  /** SHA-256 (hex) of its TLS certificate. */
  readonly tls: string;
  readonly profiles: readonly string[];
};

export type Identity = {
  readonly org: string;
  readonly signer: Signer;
  readonly unwrappers: readonly Unwrapper[];
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
