/** BCP 195 (RFC 9325 4.2) on every connection to a HIS, a PACS, a document server, a partner or a webhook, and from a partner: TLS 1.3, or 1.2 with AEAD, and no other suite. */
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ConnectionOptions, connect, createServer, type SecureVersion, type TLSSocket } from "node:tls";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { getFrom } from "../../commands/partner-get.ts";
import { initPki } from "../../commands/pki/index.ts";
import { countOf } from "../../connectors/dicom/query.ts";
import { dicomSource } from "../../connectors/dicom/scp.ts";
import { dicomDestination } from "../../connectors/dicom/scu.ts";
import { getDocument } from "../../connectors/http-get.ts";
import { mllpSource } from "../../connectors/mllp/index.ts";
import { openRest } from "../../connectors/rest.ts";
import { postJson } from "../../connectors/webhook.ts";
import { reach, type Tls } from "../../connectors/wire.ts";
import { openExchange, type TestExchange, testPki } from "../sites.ts";

const { signal } = new AbortController();
const context = { log: () => undefined, signal };
const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

let ours: NonNullable<Tls>;
beforeAll(async () => {
  const folder = mkdtempSync(join(tmpdir(), "semrs-profile-"));
  await initPki(folder, ["a"], { now: new Date() });
  const text = (name: string): string => readFileSync(join(folder, name), "utf8");
  ours = { key: text("a/tls.key"), certificate: text("a/tls.crt"), ca: text("ca.crt"), clientCertificate: "require" };
});

let pki: string;
let exchange: TestExchange | undefined;
beforeAll(async () => {
  pki = await testPki();
  exchange = await openExchange(pki, {});
});
afterAll(() => exchange?.close());

/** What the other side offers, and whether that is enough; at security level 0, so that the other side refuses nothing by itself. */
const offers: readonly (readonly [what: string, version: SecureVersion, ciphers: string, isEnough: boolean])[] = [
  ["TLS 1.3", "TLSv1.3", "TLS_AES_128_GCM_SHA256:ECDHE-ECDSA-AES128-GCM-SHA256", true],
  ["TLS 1.2 with AES-GCM", "TLSv1.2", "ECDHE-ECDSA-AES128-GCM-SHA256", true],
  ["TLS 1.2 with CBC", "TLSv1.2", "ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA", false],
];
const limited = (version: SecureVersion, ciphers: string) =>
  ({ minVersion: version, maxVersion: version, ciphers: `${ciphers}:@SECLEVEL=0` }) as const;

describe.each(offers)("%s", (_what, version, ciphers, isEnough) => {
  const parts = () => ({ key: ours.key, cert: ours.certificate, ca: ours.ca });

  const reaches = async (to: ConnectionOptions): Promise<boolean> => {
    const socket = connect({ host: "localhost", ...to, ...limited(version, ciphers) });
    const outcome = await Promise.race([
      once(socket, "secureConnect").then(() => true),
      once(socket, "close").then(() => false),
    ]).catch(() => false);
    socket.destroy();
    return outcome;
  };

  test("is enough for our partners' port or is not", async () => {
    const [key, cert, ca] = ["hospital-a/tls.key", "hospital-a/tls.crt", "ca.crt"].map((name) =>
      readFileSync(join(pki, name), "utf8"),
    );
    expect(await reaches({ port: Number(exchange?.env.B_PORT), key, cert, ca })).toBe(isEnough);
  });

  test.each(["mllp", "dicom"])("is enough for our %s listener or is not", async (name) => {
    const nobody = () => Promise.reject(new Error("nothing is sent here"));
    const source = await (name === "mllp"
      ? mllpSource.listen(mllpSource.options.parse({ port: 0, tls: ours }), nobody, context)
      : dicomSource.listen(dicomSource.options.parse({ port: 0, aeTitle: "A", tls: ours }), nobody, context));
    stops.push(() => source.stop());
    const port = Number(source.address.split(":")[1]);
    expect(await reaches({ port, ...parts() })).toBe(isEnough);
  });

  test.each<[string, (port: number) => Promise<unknown>]>([
    ["send", (port) => reach({ host: "localhost", port, connectSeconds: 10, tls: ours }, "it", signal)],
    [
      "query a PACS",
      (port) => {
        const peer = { host: "localhost", port, callingAeTitle: "A", calledAeTitle: "B", tls: ours };
        return countOf(dicomDestination.options.parse(peer), "2.25.1", signal);
      },
    ],
    [
      "fetch a document",
      (port) => getDocument({ url: new URL(`https://localhost:${port}/x`), tls: ours, maxBytes: 1024, signal }),
    ],
    [
      "ask a partner",
      async (port) => {
        const { key, certificate, ca } = ours;
        const rest = openRest({ url: `https://localhost:${port}`, key, certificate, ca });
        stops.push(rest.close);
        return await rest.get("/x", [], signal);
      },
    ],
    [
      "read what a partner publishes",
      (port) => {
        const { fingerprint256 } = new X509Certificate(ours.certificate);
        const pinned = fingerprint256.replaceAll(":", "").toLowerCase();
        return getFrom(`https://localhost:${port}`, "/x", ours, { pinned, maxBytes: 1024 });
      },
    ],
    [
      "tell a webhook",
      (port) => postJson({ url: new URL(`https://localhost:${port}/x`), ca: ours.ca, token: undefined }, "{}", signal),
    ],
  ])("is enough for us to %s or is not", async (_verb, ask) => {
    const server = createServer({ ...parts(), ...limited(version, ciphers) });
    const outcome = Promise.race([
      once(server, "secureConnection").then(([socket]: TLSSocket[]) => {
        socket?.on("error", () => undefined).destroy();
        return true;
      }),
      once(server, "tlsClientError").then(() => false),
    ]);
    server.listen(0, "localhost");
    await once(server, "listening");
    stops.push(() => server.close());
    await ask((server.address() as AddressInfo).port).catch(() => undefined);
    expect(await outcome).toBe(isEnough);
  });
});
