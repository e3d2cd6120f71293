/** A registry that answers badly: nothing is taken for an answer, what may be tried again is, and comes through once it is well. */
import type { ServerResponse } from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bytesOf } from "../envelope/people.ts";
import { cda, chen, mdmFor } from "../fixtures/documents.ts";
import { openExchange, type TestExchange, testPki, until } from "../sites.ts";
import { inPlace } from "./in-place.ts";
import { type Peer, peerOf } from "./peer.ts";

type Way = readonly [
  name: string,
  answer: (response: ServerResponse) => Promise<void> | void,
  event: "deferred" | "parked",
  code: string,
];

/** Those that end a delivery come first: what is deferred is tried again at whatever comes next. */
const ways: readonly Way[] = [
  [
    "a redirect elsewhere",
    (response) => void response.writeHead(307, { Location: "https://127.0.0.1:1/semrs/v1" }).end(),
    "parked",
    "PEER_REFUSED",
  ],
  [
    "200 with a page",
    (response) => void response.writeHead(200, { "Content-Type": "text/html" }).end("<html>"),
    "parked",
    "PEER_REFUSED",
  ],
  ["204 where a receipt is due", (response) => void response.writeHead(204).end(), "parked", "PEER_REFUSED"],
  ["503", (response) => void response.writeHead(503, { "Retry-After": "1" }).end(), "deferred", "PEER_BUSY"],
  ["500 with a page", (response) => void response.writeHead(500).end("<html>"), "deferred", "PEER_BUSY"],
  ["429", (response) => void response.writeHead(429).end(), "deferred", "PEER_BUSY"],
  ["a connection that is cut", (response) => void response.socket?.destroy(), "deferred", "PEER_AMBIGUOUS"],
  ["an envelope that breaks off", broken, "deferred", "PEER_AMBIGUOUS"],
];

/** The connection ends in the first part of what was sealed for hospital A. */
async function broken(response: ServerResponse): Promise<void> {
  const to = [{ org: "hospital-a", certificate: peer.certificateOf("hospital-a") }];
  const sealed = await peer.push({ sender: "registry", purpose: "receipt", to }, join(pki, "registry"));
  const body = await bytesOf(sealed.body());
  response.writeHead(201, [...sealed.headers.flat(), "Content-Length", String(body.length)]);
  response.write(body.subarray(0, 400), () => response.socket?.destroy());
}

let pki: string;
let exchange: TestExchange;
let peer: Peer;
beforeAll(async () => {
  pki = await testPki();
  exchange = await openExchange(pki, { RETRY: "100ms" });
  peer = peerOf(pki, exchange.env.B_PORT);
});
afterAll(() => exchange.close());

test("none of its answers is a receipt; what may be tried again is registered when it is well", async () => {
  let way: Way | undefined;
  const stop = () => exchange.stop("registry");
  const leave = await inPlace(pki, stop, "registry", exchange.env.REGISTRY_PORT, async (request, response) => {
    const [, answer] = way ?? [];
    await request.resume().toArray();
    await answer?.(response);
    return undefined;
  });
  for (const each of ways) {
    way = each;
    const [name, , event, code] = each;
    const before = exchange.log.length;
    const extension = `BAD.${ways.indexOf(each)}`;
    const report = cda({ form: "113", extension, patient: chen, code: "11502-2", display: "x", title: "t", body: "x" });
    await exchange.message(mdmFor(report, { controlId: extension }));
    await until(`${name}: ${event} ${code}`, () =>
      exchange.log
        .slice(before)
        .some((line) => line.site === "hospital-a" && line.event === `route.${event}` && line.fields.code === code),
    );
  }
  expect(exchange.log.some(({ event }) => event === "route.registered")).toBe(false);
  await leave();
  await exchange.start("registry");
  await exchange.registered(ways.filter(([, , event]) => event === "deferred").length);
});
