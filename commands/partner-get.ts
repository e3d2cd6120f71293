/** What a partner answers to a GET: over TLS with our certificate, and with its own pinned. */
import { request } from "node:https";
import { Fault, reasonOf } from "../errors.ts";
import type { TlsKeys } from "../pipeline/identity.ts";
import { tlsProfile } from "../tls.ts";

export type Got = {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
};

const answerMs = 10_000;

/** PEER_UNREACHABLE when it does not answer in time, or with another certificate; TOO_LARGE beyond `maxBytes`. */
export async function getFrom(
  url: string,
  path: string,
  { key, certificate, ca }: TlsKeys,
  {
    pinned,
    maxBytes,
    headers = {},
  }: { pinned: string | undefined; maxBytes: number; headers?: Readonly<Record<string, string>> },
): Promise<Got> {
  const { promise, resolve, reject } = Promise.withResolvers<Got>();
  const asking = request(
    `${url}${path}`,
    {
      ...{ key, cert: certificate, ca, headers },
      agent: false,
      ...tlsProfile,
      timeout: answerMs,
      checkServerIdentity: (_host, { fingerprint256 }) =>
        fingerprint256.replaceAll(":", "").toLowerCase() === pinned ? undefined : new Error("another certificate"),
    },
    async (response) => {
      try {
        const chunks: Buffer[] = [];
        let bytes = 0;
        for await (const chunk of response as AsyncIterable<Buffer>) {
          bytes += chunk.length;
          if (bytes > maxBytes) throw new Fault("TOO_LARGE", `${url}${path} answers with over ${maxBytes} octets`);
          chunks.push(chunk);
        }
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) });
      } catch (thrown) {
        asking.destroy();
        reject(thrown);
      }
    },
  );
  asking
    .on("timeout", () => asking.destroy(new Error(`no answer within ${answerMs / 1000} s`)))
    .on("error", reject)
    .end();
  return await promise.catch((cause: unknown) => {
    if (cause instanceof Fault) throw cause;
    const reason = cause instanceof Error ? cause.message : reasonOf(cause);
    throw new Fault("PEER_UNREACHABLE", `${url} cannot be asked: ${reason}`, { cause });
  });
}
