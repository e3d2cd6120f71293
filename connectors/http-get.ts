/** HTTP client for one document: a bounded GET without redirects, cookies or stored credentials. */
import { once } from "node:events";
import { type IncomingMessage, request as requestClear } from "node:http";
import { request as requestTls } from "node:https";
import { Fault } from "../errors.ts";
import { tlsProfile } from "../tls.ts";
import type { Tls } from "./wire.ts";

export type Get = {
  /** https:, or http: where the configuration gives a reason. */
  readonly url: URL;
  /** Where it is asked for, unless there. */
  readonly at?: URL;
  readonly tls?: Tls;
  /** Largest document, octets. */
  readonly maxBytes: number;
  /** Ends the wait for the whole answer too. */
  readonly signal: AbortSignal;
};

const maxHeaderBytes = 16 * 1024;

/**
 * The octets under an address. DOCUMENT_UNKNOWN where the server says that there is none, PEER_UNREACHABLE or PEER_BUSY where
 * another time is as good, PEER_REFUSED for any other answer, TOO_LARGE over `maxBytes`. A fault names the host, never the
 * path: it may hold a patient's number.
 */
export async function getDocument({ url, at = url, tls, maxBytes, signal }: Get): Promise<Uint8Array> {
  const common = { method: "GET", agent: false, maxHeaderSize: maxHeaderBytes, signal } as const;
  const secure = tls && { key: tls.key, cert: tls.certificate, ca: tls.ca, ...tlsProfile };
  const outgoing =
    at.protocol === "https:"
      ? requestTls(at, { ...common, ...secure, ...(tls?.serverName ? { servername: tls.serverName } : {}) })
      : requestClear(at, common);
  try {
    outgoing.end();
    const [response] = (await once(outgoing, "response")) as [IncomingMessage];
    refuseStatus(url.host, response.statusCode ?? 0);
    return await collect(url.host, response, maxBytes);
  } catch (cause) {
    if (cause instanceof Fault) throw cause;
    const { code = "" } = cause as NodeJS.ErrnoException;
    const why = signal.aborted ? "not in time" : code || "broken off";
    throw new Fault("PEER_UNREACHABLE", `${url.host} does not give a document that a message refers to (${why})`, {
      cause,
    });
  } finally {
    outgoing.destroy();
  }
}

function refuseStatus(host: string, status: number): void {
  if (status === 200) return;
  const said = `${host} answered ${status} for a document that a message refers to`;
  if (status === 404 || status === 410) throw new Fault("DOCUMENT_UNKNOWN", `${said}: it has none there`);
  if (status === 429 || status >= 500) throw new Fault("PEER_BUSY", said);
  throw new Fault("PEER_REFUSED", `${said}; redirects are not followed, and nobody logs in`);
}

async function collect(host: string, response: IncomingMessage, maxBytes: number): Promise<Uint8Array> {
  const tooLarge = new Fault("TOO_LARGE", `a document of ${host} is over ${maxBytes} octets`);
  if (Number(response.headers["content-length"] ?? 0) > maxBytes) throw tooLarge;
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of response as AsyncIterable<Uint8Array>) {
    size += part.length;
    if (size > maxBytes) throw tooLarge;
    parts.push(part);
  }
  // A body that ends early is thrown by the stream where its length was told or it was chunked.
  if (size === 0) throw new Fault("DOCUMENT_MALFORMED", `a document of ${host} is empty`);
  return Buffer.concat(parts, size);
}
