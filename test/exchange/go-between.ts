/** Somebody on the way who has the TLS keys of both ends, and no key that signs or opens: hands on what they say, or does worse. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { type Answering, type House, inPlace, type Reply } from "./in-place.ts";
import { pairsOf, peerOf } from "./peer.ts";

export type GoBetween = {
  /** Hands on, and resolves with what was answered. */
  forward(request: IncomingMessage): Promise<Reply>;
  /** What is done with each request to this path from now on; without `answering` it is handed on. */
  at(
    path: string,
    answering?: (request: IncomingMessage, response: ServerResponse) => Promise<Reply | undefined>,
  ): void;
  close(): Promise<void>;
};

/** Between a house and whoever asks it: listens on `port`, and hands on to `target`. */
export async function openGoBetween(
  pki: string,
  house: House,
  port: string | undefined,
  target: () => string | undefined,
): Promise<GoBetween> {
  const peer = peerOf(pki, undefined);
  const done = new Map<string, Answering>();
  const forward = async (request: IncomingMessage): Promise<Reply> => {
    const body = Buffer.concat(await request.toArray());
    const { O: from } = (request.socket as TLSSocket).getPeerCertificate().subject;
    const path = (request.url ?? "").replace("/semrs/v1", "");
    const sent = ofEnvelope(pairsOf(request.rawHeaders));
    const answer = await peer.post(sent, body, { as: join(pki, String(from)), path, port: target() });
    return { status: answer.status, sealed: { headers: ofEnvelope(answer.headers), octets: answer.body } };
  };
  const nobody = async (): Promise<void> => undefined;
  const close = await inPlace(pki, nobody, house, port, async (request, response) => {
    try {
      return await (done.get(request.url ?? "") ?? forward)(request, response);
    } catch {
      // Nobody is there: whoever asked is told as little.
      response.socket?.destroy();
      return undefined;
    }
  });
  return {
    forward,
    at: (path, answering) => {
      if (answering) done.set(`/semrs/v1${path}`, answering);
      else done.delete(`/semrs/v1${path}`);
    },
    close,
  };
}

const ofEnvelope = (headers: readonly (readonly [string, string])[]): readonly (readonly [string, string])[] =>
  headers.filter(([name]) => /^(mime|content-type|x-)/i.test(name));
