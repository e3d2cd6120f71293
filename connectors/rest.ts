/** HTTPS client for envelopes: mutual TLS, the partner's certificate pinned, no redirects, backpressure both ways. */
import { once } from "node:events";
import type { ClientRequest, IncomingMessage } from "node:http";
import { Agent, request } from "node:https";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { checkServerIdentity, type PeerCertificate, type TLSSocket } from "node:tls";
import { Fault } from "../errors.ts";
import { handOver } from "../memory.ts";
import { tlsProfile } from "../tls.ts";

export type RestPeer = {
  /** https://host:port */
  readonly url: string;
  /** PEM: our own TLS key and certificate, and the CAs that may have issued the partner's. */
  readonly key: string;
  readonly certificate: string;
  readonly ca: string;
  /** SHA-256 (hex) of the partner's TLS certificate. */
  readonly expectCertificateSha256?: string;
  /** Whether a certificate (DER) has been revoked: TLS asks no list. */
  readonly isRevoked?: (certificate: Uint8Array) => boolean;
  /** How long the connection may be silent. */
  readonly timeoutMs?: number;
};

export type RestResponse = {
  readonly status: number;
  /** Raw, in order, duplicates kept. */
  readonly headers: readonly (readonly [string, string])[];
  readonly body: AsyncIterable<Uint8Array>;
  /** Whether the connection that carried request and answer was TLS. */
  readonly isEncrypted: boolean;
};

type Headers = readonly (readonly [string, string])[];

export type Rest = {
  /** Sends one body; resolves when the answer's head is here. PEER_UNREACHABLE before anything was sent, PEER_AMBIGUOUS after. */
  post(
    path: string,
    headers: Headers,
    body: AsyncIterable<Uint8Array>,
    contentLength: number,
    signal: AbortSignal,
  ): Promise<RestResponse>;
  /** Asks for what is under a path; faults as `post`. */
  get(path: string, headers: Headers, signal: AbortSignal): Promise<RestResponse>;
  close(): void;
};

const maxHeaderBytes = 65_536;
const defaultTimeoutMs = 60_000;
const maxSockets = 16;
const keepAliveMs = 4_000;
/** A body of so many octets at most is sent at once. */
const maxGatheredBytes = 64 * 1024;
/**
 * What Linux takes over of a larger one before it is sent, at most, on a line of 50 kbit/s: the partner has not heard of it yet. It has the
 * time that it takes at the least that a partner takes (`exchange/pace.ts`: 64 KiB in half a minute).
 */
const maxUnsentBytes = 256 * 1024;
const unsentMs = (bytes: number): number =>
  (Math.min(Math.max(0, bytes - maxGatheredBytes), maxUnsentBytes) * 30_000) / 65_536;

/** A client of one partner. CONFIG_INVALID for an URL that is not https. */
export function openRest({
  url,
  key,
  certificate,
  ca,
  expectCertificateSha256,
  isRevoked = () => false,
  timeoutMs = defaultTimeoutMs,
}: RestPeer): Rest {
  const base = new URL(url);
  if (base.protocol !== "https:")
    throw new Fault("CONFIG_INVALID", `${url} must be https: nothing between sites travels in clear`);
  const agent = new Agent({
    keepAlive: true,
    keepAliveMsecs: keepAliveMs,
    maxSockets,
    key,
    cert: certificate,
    ca,
    ...tlsProfile,
    checkServerIdentity: (host: string, peer: PeerCertificate): Error | undefined => {
      const pinned = peer.fingerprint256?.replaceAll(":", "").toLowerCase();
      if (expectCertificateSha256 !== undefined && pinned !== expectCertificateSha256) {
        return new Error("the server's certificate is not the partner's tls.crt");
      }
      if (isRevoked(peer.raw)) return new Error("the server's tls.crt has been revoked");
      return checkServerIdentity(host, peer);
    },
  });
  const exchange = async (
    method: "GET" | "POST",
    path: string,
    headers: Headers,
    send: (outgoing: ClientRequest) => Promise<void>,
    signal: AbortSignal,
    bytes = 0,
  ): Promise<RestResponse> => {
    const outgoing = request(new URL(path, base), {
      method,
      agent,
      maxHeaderSize: maxHeaderBytes,
      timeout: timeoutMs,
      signal,
      headers: Object.fromEntries(headers),
    });
    let sent = false;
    const silenceMs = Math.round(timeoutMs + unsentMs(bytes));
    const shaken = (): void => {
      sent = true;
      outgoing.setTimeout(silenceMs);
    };
    outgoing.once("socket", (socket) => {
      // A connection that is used again has shaken hands before: what is written to it is sent.
      if (outgoing.reusedSocket) shaken();
      else socket.once("secureConnect", shaken);
    });
    outgoing.once("timeout", () => outgoing.destroy(new Error(`silent for ${sent ? silenceMs : timeoutMs} ms`)));
    const answered = once(outgoing, "response") as Promise<[IncomingMessage]>;
    const failure = Promise.withResolvers<never>();
    const sending = send(outgoing).catch((cause: unknown) => {
      // A fault of the body is ours; a broken pipe may hide an answer that came early.
      if (cause instanceof Fault) failure.reject(cause);
    });
    failure.promise.catch(() => undefined);
    try {
      const [response] = await Promise.race([answered, failure.promise]);
      void sending;
      // There is nothing to read, so nobody reads it; the connection is free for the next request only when somebody has.
      if (response.statusCode === 204 || response.statusCode === 202) response.resume();
      return {
        status: response.statusCode ?? 0,
        headers: pairs(response.rawHeaders),
        isEncrypted: (response.socket as TLSSocket).encrypted === true,
        body: bodyOf(response, base.host),
      };
    } catch (cause) {
      outgoing.destroy();
      if (cause instanceof Fault) throw cause;
      throw faultOf(cause, base.host, sent || outgoing.reusedSocket);
    }
  };
  return {
    post: (path, headers, body, contentLength, signal) =>
      exchange(
        "POST",
        path,
        [...headers, ["Content-Length", String(contentLength)]],
        (outgoing) => (contentLength <= maxGatheredBytes ? sendWhole(body, outgoing) : sendStream(body, outgoing)),
        signal,
        contentLength,
      ),
    get: (path, headers, signal) => exchange("GET", path, headers, (outgoing) => sendWhole([], outgoing), signal),
    close: () => agent.destroy(),
  };
}

const sendStream = (body: AsyncIterable<Uint8Array>, outgoing: ClientRequest): Promise<void> =>
  pipeline(Readable.from(body, { objectMode: false }), outgoing);

/** One write and one TLS record, in place of a stream between. */
async function sendWhole(body: AsyncIterable<Uint8Array> | readonly [], outgoing: ClientRequest): Promise<void> {
  // The answer tells it, too; once that is there, nobody else listens.
  outgoing.on("error", () => undefined);
  try {
    outgoing.end(Buffer.concat(await Array.fromAsync(body)));
  } catch (cause) {
    outgoing.destroy(cause as Error);
    throw cause;
  }
}

async function* bodyOf(response: IncomingMessage, host: string): AsyncGenerator<Uint8Array> {
  try {
    // Each is memory of its own, which nobody else looks at again.
    for await (const chunk of response) yield handOver(chunk as Uint8Array);
  } catch (cause) {
    throw new Fault("PEER_AMBIGUOUS", `${host} broke off its answer`, { cause });
  }
  if (!response.complete) throw new Fault("PEER_AMBIGUOUS", `${host} broke off its answer`);
}

function faultOf(cause: unknown, host: string, sent: boolean): Fault {
  const { code = "", message = "" } = cause as NodeJS.ErrnoException;
  const isTls = /^(ERR_TLS|CERT_|DEPTH_|UNABLE_|SELF_SIGNED)/.test(code) || message.includes("tls.crt");
  if (isTls) return new Fault("PEER_UNREACHABLE", `TLS with ${host} failed: ${message}`, { cause });
  if (sent) return new Fault("PEER_AMBIGUOUS", `${host} gave no answer (${code || message})`, { cause });
  return new Fault("PEER_UNREACHABLE", `${host} cannot be reached (${code || message})`, { cause });
}

function pairs(raw: readonly string[]): readonly (readonly [string, string])[] {
  return Array.from(
    { length: Math.floor(raw.length / 2) },
    (_, i) => [raw[2 * i] ?? "", raw[2 * i + 1] ?? ""] as const,
  );
}
