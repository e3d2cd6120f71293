/** A webhook over HTTPS: keeps what was posted, and answers as it is told to. */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import type { Told } from "../pipeline/alert-targets.ts";

export type WebhookListener = {
  /** As an entry of `alerts.webhooks`, in YAML. */
  readonly target: string;
  readonly posted: readonly Told[];
  stop(): void;
};

/** With the TLS keys of the registry of a PKI of ours; `answer` is asked for each post, 204 unless said. */
export async function listenWebhook(
  pki: string,
  answer: (response: ServerResponse, n: number) => void = (response) => void response.writeHead(204).end(),
): Promise<WebhookListener> {
  const posted: Told[] = [];
  const read = (name: string) => readFileSync(join(pki, name));
  const server = createServer(
    { key: read("registry/tls.key"), cert: read("registry/tls.crt") },
    async (request, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      posted.push(JSON.parse(Buffer.concat(chunks).toString()) as Told);
      answer(response, posted.length);
    },
  );
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  return {
    target: `{ url: "https://127.0.0.1:${port}/hook", ca: ${join(pki, "ca.crt")} }`,
    posted,
    stop: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}
