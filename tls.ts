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

/** Calls `told` of each handshake that fails at a listener: with whom, and why. */
export function onRefusedHandshake(server: Server, told: (refused: { peer: string; reason: string }) => void): void {
  // A socket that is closed knows its peer only where it was asked for it before.
  server.on("connection", peerOf);
  server.on("tlsClientError", (thrown: Error & { code?: string }, socket: TLSSocket & { _parent?: Socket }) => {
    // Node says of a certificate that it does not trust, or that has expired, only that the connection was reset.
    const why = socket.authorizationError ?? thrown.code ?? "the handshake failed";
    // Of a connection that it has ended itself only the socket below still has the address.
    told({
      peer: peerOf(socket.remoteAddress === undefined ? (socket._parent ?? socket) : socket),
      reason: String(why),
    });
  });
}

/** Address and port of who is on the other side. */
export const peerOf = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress}:${remotePort}`;
