/** A revoked certificate of TLS counts no more, on either end: TLS itself asks no revocation list, and a partner's is known by its digest. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { revoke } from "../../commands/pki/index.ts";
import { bytesOf } from "../envelope/people.ts";
import { cda, chen, mdmFor } from "../fixtures/documents.ts";
import { openExchange, type TestExchange, testPki, until } from "../sites.ts";
import { peerOf } from "./peer.ts";

let exchange: TestExchange;
afterEach(() => exchange.close());

const withRenewals = (yaml: string): string =>
  yaml
    .replace(/crls: \[(.*?)\] \}/, "crls: [$1], renew: 50ms }")
    .replaceAll("[repository]", "[repository, hospital-b]");
const revokeTls = (pki: string, org: string): void =>
  revoke(pki, readFileSync(join(pki, org, "tls.crt"), "utf8"), new Date());
const reasons = (site: string): string =>
  exchange.log.map((line) => (line.site === site ? String(line.fields.reason) : "")).join("\n");

test("a partner's connection with a revoked tls.crt is no partner's", async () => {
  const pki = await testPki();
  exchange = await openExchange(pki, {}, withRenewals);
  const peer = peerOf(pki, exchange.env.B_PORT);
  const [first, second] = [await peer.push(), await peer.push()];
  expect(await peer.post(first.headers, await bytesOf(first.body()))).toMatchObject({
    status: 201,
    profile: "semrs-2",
  });
  revokeTls(pki, "hospital-a");
  const again = await bytesOf(first.body());
  await until("refused", async () => (await peer.post(first.headers, again)).status === 422);
  const body = await bytesOf(second.body());
  expect(await peer.post(second.headers, body)).toMatchObject({ status: 422, profile: undefined });
  expect(reasons("hospital-b")).toMatch(/the tls\.crt of hospital-a was revoked at \d{4}-/);
});

test("nothing is sent to a partner that shows a revoked tls.crt", async () => {
  const pki = await testPki();
  exchange = await openExchange(pki, { RETRY: "100ms" }, withRenewals);
  const send = (extension: string) =>
    exchange.message(
      mdmFor(cda({ form: "113", extension, patient: chen, code: "11502-2", display: "x", title: "t", body: "x" }), {
        controlId: extension,
      }),
    );
  await send("BEFORE");
  await exchange.messagesAtB(1);
  await exchange.stop("hospital-b");
  revokeTls(pki, "hospital-b");
  await exchange.start("hospital-b");
  await send("AFTER");
  await until("told why", () => /the server's tls\.crt has been revoked/.test(reasons("hospital-a")));
  expect(exchange.documentsAtB().size).toBe(1);
});
