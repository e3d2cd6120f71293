/** A POST of JSON over HTTPS that tells somebody something; an answer of 2xx is all that is asked. */
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { request } from "node:https";
import { Fault } from "../errors.ts";
import { tlsProfile } from "../tls.ts";

export type Webhook = {
  /** https: only. */
  readonly url: URL;
  /** Authorities of the other side, PEM; those of the system unless said. */
  readonly ca: string | undefined;
  /** Sent as Authorization: Bearer. */
  readonly token: string | undefined;
};

/** PEER_UNREACHABLE, PEER_BUSY or PEER_REFUSED say why it was not taken; they name the host, never the path, which may hold a secret. */
export async function postJson({ url, ca, token }: Webhook, json: string, signal: AbortSignal): Promise<void> {
  const body = Buffer.from(json, "utf8");
  const outgoing = request(url, {
    method: "POST",
    agent: false,
    ...tlsProfile,
    signal,
    headers: {
      "content-type": "application/json",
      "content-length": body.length,
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    },
    ...(ca === undefined ? {} : { ca }),
  });
  try {
    outgoing.end(body);
    const [response] = (await once(outgoing, "response")) as [IncomingMessage];
    const status = response.statusCode ?? 0;
    if (status >= 200 && status < 300) return;
    throw new Fault(status === 429 || status >= 500 ? "PEER_BUSY" : "PEER_REFUSED", `${url.host} answered ${status}`);
  } catch (cause) {
    if (cause instanceof Fault) throw cause;
    throw new Fault(
      "PEER_UNREACHABLE",
      `${url.host} takes no webhook; is it listening, with a certificate that is trusted?`,
      {
        cause,
      },
    );
  } finally {
    outgoing.on("error", () => undefined).destroy();
  }
}
