/** Syslog over TLS (RFC 5425), as a client. Nothing is acknowledged there: what was written and closed in order is what can be known. */
import { once } from "node:events";
import type { Socket } from "node:net";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Fault } from "../errors.ts";
import { syslogFrame } from "../formats/syslog.ts";
import { reach, type Tls } from "./wire.ts";

export type SyslogTarget = {
  readonly host: string;
  readonly port: number;
  /** Keys as PEM text. */
  readonly tls: Pick<NonNullable<Tls>, "key" | "certificate" | "ca" | "serverName">;
};

const connectSeconds = 10;
const closeMs = 5_000;
/**
 * So long the other side has for ending of itself before we do. In TLS 1.3 a house's certificate is refused behind the handshake,
 * and a proxy whose own server is down ends then: what was written is taken by nobody, and nothing else tells.
 */
const settleMs = 1_000;

/** Sends messages on one connection and closes it; PEER_UNREACHABLE or CERTIFICATE_INVALID where that fails on the way. */
export async function sendSyslog(
  { host, port, tls }: SyslogTarget,
  messages: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  signal: AbortSignal,
): Promise<void> {
  const where = `syslog ${host}:${port}`;
  const socket = await reach(
    { host, port, connectSeconds, tls: { ...tls, clientCertificate: "require" } },
    where,
    signal,
  );
  try {
    // What the other side sends is read and dropped: a socket closed over unread octets takes what it wrote with it.
    socket.resume();
    await pipeline(Readable.from(framed(messages)), socket, { signal, end: false });
    await isKept(socket, signal);
    socket.end();
    if (!socket.closed)
      await once(socket, "close", { signal: AbortSignal.any([signal, AbortSignal.timeout(closeMs)]) });
  } catch (cause) {
    if (cause instanceof Fault) throw cause;
    throw new Fault("PEER_UNREACHABLE", `${where} broke off; what it has taken is not known`, { cause });
  } finally {
    socket.destroy();
  }
}

/** Fails where the other side has ended before we did. */
async function isKept(socket: Socket, signal: AbortSignal): Promise<void> {
  const settled = AbortSignal.timeout(settleMs);
  if (!socket.readableEnded && !socket.destroyed)
    await once(socket, "end", { signal: AbortSignal.any([signal, settled]) }).catch(() => undefined);
  if (socket.readableEnded || socket.destroyed || !settled.aborted) throw new Error("ended before it was left");
}

async function* framed(messages: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const message of messages) yield syslogFrame(message);
}
