/** What the hop says of a request: whose TLS certificate is at the other end, and the envelope's headers as they came. */
import type { TLSSocket } from "node:tls";
import type { Request } from "express";
import type { Identity, Partner } from "../envelope/identity.ts";
import { isEnvelopeHeader, revokedAt, type Trust } from "../envelope/index.ts";
import { Fault } from "../errors.ts";

/** SHA-256 (hex) of the TLS certificate at the other end. It alone is asked for: taking all of the certificate apart costs ten times that. */
export const certificateOf = ({ socket }: Pick<Request, "socket">): string | undefined =>
  (socket as TLSSocket).getPeerX509Certificate()?.fingerprint256.replaceAll(":", "").toLowerCase();

/** The partner, or ourselves, whose certificate it is, and which its authority has not revoked. */
export function tlsPeer(identity: Identity, request: Pick<Request, "socket">): Partner | undefined {
  const peer = shownBy(identity, request);
  return peer && revoked(identity.trust, request) === undefined ? peer : undefined;
}

/** Why there is no `tlsPeer`. */
export function notAdmitted(identity: Identity, request: Pick<Request, "socket">): Fault {
  const peer = shownBy(identity, request);
  const at = peer && revoked(identity.trust, request);
  return peer && at
    ? new Fault("NOT_PERMITTED", `the tls.crt of ${peer.org} was revoked at ${at.toISOString()}; it needs another one`)
    : new Fault("NOT_PERMITTED", "the TLS certificate belongs to no partner; list the partner's tls.crt");
}

function shownBy(identity: Identity, request: Pick<Request, "socket">): Partner | undefined {
  const sha256 = certificateOf(request);
  if (sha256 === identity.self.tls) return identity.self;
  for (const partner of identity.partners.values()) if (partner.tls === sha256) return partner;
  return undefined;
}

/** By SHA-256, as long as the lists are the same: a request is not worth another search through them. */
const verdicts = new WeakMap<Trust, Map<string, Date | undefined>>();

function revoked(trust: Trust, request: Pick<Request, "socket">): Date | undefined {
  const known = verdicts.get(trust) ?? new Map<string, Date | undefined>();
  verdicts.set(trust, known);
  const certificate = (request.socket as TLSSocket).getPeerX509Certificate();
  if (!certificate) return undefined;
  if (!known.has(certificate.fingerprint256)) known.set(certificate.fingerprint256, revokedAt(certificate.raw, trust));
  return known.get(certificate.fingerprint256);
}

/** The envelope's own headers, raw and in order: Node joins duplicates in `headers`, and a duplicate must be refused. */
export function envelopeHeaders(request: Request): [string, string][] {
  const headers: [string, string][] = [];
  for (let i = 0; i + 1 < request.rawHeaders.length; i += 2) {
    const name = request.rawHeaders[i] ?? "";
    if (isEnvelopeHeader(name)) headers.push([name, request.rawHeaders[i + 1] ?? ""]);
  }
  return headers;
}
