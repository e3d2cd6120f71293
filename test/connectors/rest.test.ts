/** The HTTPS client: connections that are used again, and what is known of a request when they break. */

import { once } from "node:events";
import { mkdtempSync, readFileSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { initPki } from "../../commands/pki/index.ts";
import { openRest } from "../../connectors/rest.ts";

const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

/**
 * A partner that answers the first requests, after `lateMs`, then reads and closes without a word; of some answers there is nothing to
 * read. `post` gives up after `timeoutMs` of silence.
 */
async function partner(answers: number, status = 200, { lateMs = 0, timeoutMs = 60_000 } = {}) {
  const folder = mkdtempSync(join(tmpdir(), "semrs-rest-"));
  await initPki(folder, ["a", "b"], { now: new Date() });
  const text = (name: string) => readFileSync(join(folder, name), "utf8");
  const connections = new Set<unknown>();
  let count = 0;
  const server = createServer(
    { key: text("b/tls.key"), cert: text("b/tls.crt"), ca: text("ca.crt"), requestCert: true },
    (request, response) => {
      connections.add(request.socket);
      request.resume().once("end", () => {
        count += 1;
        const answer = () => response.writeHead(status).end(status === 204 ? undefined : "answer");
        if (count <= answers) setTimeout(answer, lateMs);
        else request.socket.destroy();
      });
    },
  ).listen(0, "127.0.0.1");
  await once(server, "listening");
  stops.push(() => server.close());
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const keys = { key: text("a/tls.key"), certificate: text("a/tls.crt"), ca: text("ca.crt") };
  const rest = openRest({ url, ...keys, timeoutMs });
  stops.push(() => rest.close());
  const post = async (body: Uint8Array = Buffer.from("hello")) => {
    const response = await rest.post(
      "/",
      [["Content-Type", "text/plain"]],
      one(body),
      body.length,
      new AbortController().signal,
    );
    if (status !== 204) for await (const _ of response.body);
    return response.status;
  };
  return { rest, post, connections };
}

async function* one(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

test("a connection is used again, leaves nothing behind on it, and a break after sending is ambiguous", async () => {
  const warnings: string[] = [];
  const warn = (warning: Error): void => void warnings.push(warning.name);
  process.on("warning", warn);
  stops.push(() => process.off("warning", warn));
  const { post, connections } = await partner(20);
  for (let n = 0; n < 20; n += 1) expect(await post()).toBe(200);
  expect(connections.size).toBe(1);
  await expect(post()).rejects.toMatchObject({ code: "PEER_AMBIGUOUS" });
  await new Promise((resolve) => setImmediate(resolve));
  expect(warnings).toEqual([]);
});

test("an answer without a body, which nobody reads, leaves its connection to the next request", async () => {
  const { post, connections } = await partner(5, 204);
  for (let n = 0; n < 5; n += 1) {
    expect(await post()).toBe(204);
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(connections.size).toBe(1);
});

test("a body that breaks off ends its request: nobody waits for the partner to be silent", async () => {
  const { rest } = await partner(1);
  const broken = (async function* () {
    yield Buffer.from("he");
    throw new Error("the disk");
  })();
  await expect(rest.post("/", [], broken, 5, new AbortController().signal)).rejects.toMatchObject({
    code: "PEER_UNREACHABLE",
  });
});

test("a break after sending on a fresh connection is ambiguous, no connection at all is not", async () => {
  const { post } = await partner(0);
  await expect(post()).rejects.toMatchObject({ code: "PEER_AMBIGUOUS" });
  const nobody = openRest({ url: "https://127.0.0.1:9", key: "", certificate: "", ca: "" });
  stops.push(() => nobody.close());
  await expect(nobody.post("/", [], one(Buffer.alloc(1)), 1, new AbortController().signal)).rejects.toMatchObject({
    code: "PEER_UNREACHABLE",
  });
});

test("silence counts beside the time that what was sent takes on a slow line: the system holds it until then", async () => {
  const { post } = await partner(2, 200, { lateMs: 1_500, timeoutMs: 500 });
  expect(await post(Buffer.alloc(128 * 1024))).toBe(200);
  await expect(post()).rejects.toMatchObject({ code: "PEER_AMBIGUOUS", message: expect.stringMatching(/silent/) });
});
