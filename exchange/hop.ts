/** What the hop says of a request: whose TLS certificate is at the other end, and the envelope's headers as they came. */
import type { TLSSocket } from "node:tls";
import type { Request } from "express";
import type { Identity, Partner } from "../envelope/identity.ts";

const envelopeHeader = /^(mime-version|content-(type|transfer-encoding)|x-(semrs|eec)-)/i;

/** SHA-256 (hex) of the TLS certificate at the other end. It alone is asked for: taking all of the certificate apart costs ten times that. */
export const certificateOf = ({ socket }: Pick<Request, "socket">): string | undefined =>
  (socket as TLSSocket).getPeerX509Certificate()?.fingerprint256.replaceAll(":", "").toLowerCase();

/** The partner, or ourselves, whose certificate it is. */
export function tlsPeer(identity: Identity, request: Pick<Request, "socket">): Partner | undefined {
  const sha256 = certificateOf(request);
  if (sha256 === identity.self.tls) return identity.self;
  for (const partner of identity.partners.values()) if (partner.tls === sha256) return partner;
  return undefined;
}

/** The envelope's own headers, raw and in order: Node joins duplicates in `headers`, and a duplicate must be refused. */
export function envelopeHeaders(request: Request): [string, string][] {
  const headers: [string, string][] = [];
  for (let i = 0; i + 1 < request.rawHeaders.length; i += 2) {
    const name = request.rawHeaders[i] ?? "";
    if (envelopeHeader.test(name)) headers.push([name, request.rawHeaders[i + 1] ?? ""]);
  }
  return headers;
}
