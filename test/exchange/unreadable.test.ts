/** Requests that are none: every answer is a problem of ours, tells nothing of what is inside, and is a line of the log. */
import { renameSync } from "node:fs";
import { join } from "node:path";
import { connect } from "node:tls";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bytesOf } from "../envelope/people.ts";
import { openExchange, type TestExchange, testPki, until } from "../sites.ts";
import { peerOf, read } from "./peer.ts";

let pki: string;
let exchange: TestExchange;
beforeAll(async () => {
  pki = await testPki();
  exchange = await openExchange(pki);
});
afterAll(() => exchange.close());

/** What hospital B answers to octets on a connection of hospital A. */
async function answerTo(octets: string): Promise<{ readonly head: string; readonly body: string }> {
  const keys = join(pki, "hospital-a");
  const tls = { key: read(keys, "tls.key"), cert: read(keys, "tls.crt"), ca: read(pki, "ca.crt") };
  const socket = connect({ host: "127.0.0.1", port: Number(exchange.env.B_PORT), ...tls });
  let back = "";
  socket.on("error", () => undefined).on("data", (data: Buffer) => (back += data.toString("latin1")));
  socket.write(octets);
  await until("the connection is over", () => socket.closed);
  const [head = "", body = ""] = back.split("\r\n\r\n");
  return { head, body };
}

const get = (path: string, headers = ""): string =>
  `GET ${path} HTTP/1.1\r\nHost: b\r\nConnection: close\r\n${headers}\r\n`;

test.each([
  ["a path that does not decode", get("/semrs/v1/repository/retrievals/%E0%A4%A")],
  ["no request of HTTP", "MSH|^~\\&|CHEN^A223456781\r\n\r\n"],
  ["a header that is none", get("/semrs/v1/health/live", "A223456781\r\n")],
  ["a length and chunks", get("/semrs/v1/health/live", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n")],
])("%s", async (_what, octets) => {
  const before = exchange.log.length;
  const { head, body } = await answerTo(octets);
  expect(head).toMatch(/^HTTP\/1\.1 400 /);
  expect(head).toMatch(/content-type: application\/problem\+json/i);
  expect(JSON.parse(body)).toEqual({
    type: "urn:semrs:problem:malformed",
    title: expect.any(String),
    status: 400,
    instance: expect.stringMatching(/^urn:uuid:[0-9a-f-]{36}$/),
  });
  const logged = exchange.log.slice(before).filter(({ event }) => event === "rest.refused");
  expect(logged).toMatchObject([{ site: "hospital-b", level: "warn", fields: { peer: "hospital-a" } }]);
  expect(JSON.stringify(logged)).not.toContain("A223456781");
});

test("a document that cannot be made, since a file of its certificates is gone, tells nobody its path", async () => {
  const file = join(pki, "hospital-b", "tls.crt");
  renameSync(file, `${file}.away`);
  const { head, body } = await answerTo(get("/.well-known/semrs"));
  renameSync(`${file}.away`, file);
  expect(head).toMatch(/^HTTP\/1\.1 503 /);
  expect(JSON.parse(body)).toMatchObject({ type: "urn:semrs:problem:unavailable", status: 503 });
  expect(exchange.log.at(-1)).toMatchObject({ event: "rest.refused", fields: { code: "CONFIG_INVALID" } });
});

test("a handshake without a certificate of the authority is told, with the address of who tried", async () => {
  const before = exchange.log.length;
  const socket = connect({ host: "127.0.0.1", port: Number(exchange.env.B_PORT), ca: read(pki, "ca.crt") });
  socket.on("error", () => undefined);
  await until("it is told", () => exchange.log.slice(before).some(({ event }) => event === "tls.refused"));
  const [line] = exchange.log.slice(before).filter(({ event }) => event === "tls.refused");
  expect(line).toMatchObject({ site: "hospital-b", fields: { peer: expect.stringMatching(/^127\.0\.0\.1:\d+$/) } });
  socket.destroy();
});

test("a caller whose certificate is of another authority is told, with its address and why", async () => {
  const before = exchange.log.length;
  const keys = join(await testPki(), "hospital-a");
  const tls = { key: read(keys, "tls.key"), cert: read(keys, "tls.crt"), ca: read(pki, "ca.crt") };
  const socket = connect({ host: "127.0.0.1", port: Number(exchange.env.B_PORT), ...tls });
  socket.on("error", () => undefined);
  await until("it is told", () => exchange.log.slice(before).some(({ event }) => event === "tls.refused"));
  const [line] = exchange.log.slice(before).filter(({ event }) => event === "tls.refused");
  expect(line?.fields).toMatchObject({
    peer: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
    reason: expect.stringMatching(/UNABLE_TO_VERIFY|SELF_SIGNED/),
  });
  socket.destroy();
});

test.each([
  ["before its signature", 500],
  ["in mid-part", 900_000],
])("a request that breaks off %s is told as that", async (_where, sent) => {
  const before = exchange.log.length;
  const peer = peerOf(pki, exchange.env.B_PORT);
  const sealed = await peer.push();
  const body = await bytesOf(sealed.body());
  const { outgoing, answered } = peer.begin(sealed.headers, body.length);
  answered.catch(() => undefined);
  outgoing.write(body.subarray(0, sent), () => outgoing.destroy());
  const refused = () => exchange.log.slice(before).filter(({ event }) => event === "repository.refused");
  await until("it is told", () => refused().length > 0);
  expect(refused()).toMatchObject([{ fields: { peer: "hospital-a", code: "PEER_UNREACHABLE" } }]);
});
