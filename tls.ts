import type { Server, Socket } from "node:net";
import type { TLSSocket } from "node:tls";

/** What TLS every connection has, whoever makes it: AEAD with forward secrecy only (BCP 195, RFC 9325 4.2). */
const ciphers = [
  "TLS_AES_256_GCM_SHA384",
  "TLS_CHACHA20_POLY1305_SHA256",
  "TLS_AES_128_GCM_SHA256",
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES256-GCM-SHA384",
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES128-GCM-SHA256",
].join(":");

export const tlsProfile = { ciphers, minVersion: "TLSv1.2" } as const;

/** A handshake that failed at a listener: with whom and why, and what that means where it is known. */
export type Refused = {
  readonly peer: string;
  readonly reason: string;
  readonly code?: "CERTIFICATE_INVALID" | "PEER_UNREACHABLE";
};

/** Calls `told` of each handshake that fails at a listener. */
export function onRefusedHandshake(server: Server, told: (refused: Refused) => void): void {
  // A socket that is closed knows its peer only where it was asked for it before.
  server.on("connection", peerOf);
  server.on("tlsClientError", (thrown: Error & { code?: string }, socket: TLSSocket & { _parent?: Socket }) => {
    // Of a connection that it has ended itself only the socket below still has the address.
    const peer = peerOf(socket.remoteAddress === undefined ? (socket._parent ?? socket) : socket);
    // Node says of a certificate that it does not trust, or that has expired, only that the connection was reset.
    told({ peer, ...meaningOf(String(socket.authorizationError ?? ""), thrown.code ?? "") });
  });
}

/** Of what is neither a certificate nor a line, such as another protocol or other ciphers, what OpenSSL calls it is all that is known. */
function meaningOf(certificate: string, code: string): Omit<Refused, "peer"> {
  if (certificate || isOfCertificate.test(code)) return { code: "CERTIFICATE_INVALID", reason: certificate || code };
  const line = ofLine.get(code);
  return line ? { code: "PEER_UNREACHABLE", reason: line } : { reason: code || "the handshake failed" };
}

/** None was shown, or the other side has not accepted ours (the alerts of RFC 8446 6.2). */
const isOfCertificate = /CERTIFICATE|UNKNOWN_CA/;
const ofLine: ReadonlyMap<string, string> = new Map([
  ["ERR_TLS_HANDSHAKE_TIMEOUT", "the handshake was not over in time: a slow line, or who called does not speak TLS"],
  // A client need not say why it leaves: Node's own says nothing of a server that it does not trust.
  [
    "ECONNRESET",
    "who called has ended it within the handshake: a look whether the port is open, or it does not trust us",
  ],
]);

/** Address and port of who is on the other side. */
export const peerOf = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress}:${remotePort}`;
