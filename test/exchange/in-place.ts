/** A program that takes the place of a house, with that house's own keys. */
import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import { join } from "node:path";
import type { RawHeaders } from "../../envelope/headers.ts";
import type { Sealed } from "../../envelope/index.ts";
import { bytesOf } from "../envelope/people.ts";
import { read } from "./peer.ts";

export type House = "registry" | "hospital-a" | "hospital-b";
export type Reply = {
  readonly status: number;
  readonly sealed?: Pick<Sealed, "headers" | "body"> | { readonly headers: RawHeaders; readonly octets: Uint8Array };
};
/** Undefined: it has written to the response itself. */
export type Answering = (request: IncomingMessage, response: ServerResponse) => Promise<Reply | undefined>;

/** Listens where the house did, which `stop` ends first; closed by the function that comes back. */
export async function inPlace(
  pki: string,
  stop: () => Promise<void>,
  house: House,
  port: string | undefined,
  answer: Answering,
): Promise<() => Promise<void>> {
  await stop();
  const keys = join(pki, house);
  const tls = { key: read(keys, "tls.key"), cert: read(keys, "tls.crt"), ca: read(pki, "ca.crt"), requestCert: true };
  const server = createServer(tls, async (request, response) => {
    const reply = await answer(request, response);
    if (!reply) return;
    const { status, sealed } = reply;
    response.statusCode = status;
    for (const [name, value] of sealed?.headers ?? []) response.setHeader(name, value);
    if (!sealed) response.end("");
    else response.end("octets" in sealed ? sealed.octets : await bytesOf(sealed.body()));
  });
  server.listen(Number(port), "127.0.0.1");
  await once(server, "listening");
  return async () => {
    const closed = once(server, "close");
    server.close();
    server.closeAllConnections();
    await closed;
  };
}
