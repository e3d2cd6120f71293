/** What a listener with TLS tells of a handshake that does not come to its end: a certificate is blamed only where it is one. */
import { mkdtempSync, readFileSync } from "node:fs";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer, connect as tlsConnect } from "node:tls";
import { beforeAll, expect, test } from "vitest";
import { initPki } from "../../commands/pki/index.ts";
import { listenOn, type Tls } from "../../connectors/wire.ts";
import type { LogFields } from "../../log.ts";
import { onRefusedHandshake } from "../../tls.ts";
import { until } from "../sites.ts";
import { stopAfterEach, stops } from "./mllp-listening.ts";

let tls: NonNullable<Tls>;
let foreign: string;
beforeAll(async () => {
  const text = (folder: string, name: string): string => readFileSync(join(folder, name), "utf8");
  const [own, other] = [0, 1].map(() => mkdtempSync(join(tmpdir(), "semrs-handshakes-"))) as [string, string];
  for (const folder of [own, other]) await initPki(folder, ["a"], { now: new Date() });
  const [key, certificate] = [text(own, "a/tls.key"), text(own, "a/tls.crt")];
  tls = { key, certificate, ca: text(own, "ca.crt"), clientCertificate: "require" };
  foreign = text(other, "ca.crt");
});
stopAfterEach();

const local = /^127\.0\.0\.1:\d+$/;

test.each([
  ["hangs up", "PEER_UNREACHABLE", /has ended it/, (port: number) => connect(port, "127.0.0.1").end()],
  [
    "speaks HTTP",
    undefined,
    /HTTP_REQUEST/,
    (port: number) => connect(port, "127.0.0.1").end("GET / HTTP/1.1\r\n\r\n"),
  ],
  [
    "trusts another authority",
    "PEER_UNREACHABLE",
    /does not trust us/,
    (port: number) => tlsConnect({ port, host: "127.0.0.1", key: tls.key, cert: tls.certificate, ca: foreign }),
  ],
  [
    "shows no certificate",
    "CERTIFICATE_INVALID",
    /CERTIFICATE/,
    (port: number) => tlsConnect({ port, host: "127.0.0.1", ca: tls.ca }),
  ],
] as const)("who %s: %s", async (_does, code, reason, call) => {
  const told: LogFields[] = [];
  const log = (event: string, fields: LogFields = {}): void => void (event === "tls.refused" && told.push(fields));
  const running = await listenOn({ host: "127.0.0.1", port: 0, tls, graceMs: 0 }, () => undefined, { log });
  stops.push(() => running.stop());
  const caller = call(Number(running.address.split(":")[1])).on("error", () => undefined);
  stops.push(() => caller.destroy());
  await until("it is told", () => told.length > 0);
  expect(told[0]).toEqual({
    peer: expect.stringMatching(local),
    reason: expect.stringMatching(reason),
    ...(code ? { code } : {}),
  });
});

test("who says nothing: that the time was over", async () => {
  const server = createServer({ key: tls.key, cert: tls.certificate, handshakeTimeout: 50 });
  const told: unknown[] = [];
  onRefusedHandshake(server, (refused) => told.push(refused));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  stops.push(() => server.close());
  const caller = connect((server.address() as AddressInfo).port, "127.0.0.1").on("error", () => undefined);
  stops.push(() => caller.destroy());
  await until("it is told", () => told.length > 0);
  expect(told).toEqual([
    {
      peer: expect.stringMatching(local),
      reason: expect.stringContaining("was not over in time"),
      code: "PEER_UNREACHABLE",
    },
  ]);
});
