/** Requests whose frame lies, on real connections: nothing of them is kept, and the next request is served. */
import { join } from "node:path";
import { connect } from "node:tls";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { initPki } from "../../commands/pki/index.ts";
import { maxParts, partNumber } from "../../envelope/manifest.ts";
import { rootOf } from "../../envelope/part.ts";
import { forge } from "../envelope/forge.ts";
import { bytesOf } from "../envelope/people.ts";
import { openExchange, type TestExchange, testPki, until } from "../sites.ts";
import { type Peer, peerOf, read, recordsAtB } from "./peer.ts";

let pki: string;
let exchange: TestExchange;
let peer: Peer;
beforeAll(async () => {
  pki = await testPki();
  exchange = await openExchange(pki);
  peer = peerOf(pki, exchange.env.B_PORT);
});
afterAll(() => exchange.close());

const records = (): Promise<number> => recordsAtB(exchange);
let before = 0;
beforeEach(async () => {
  before = await records();
});
/** Nothing was kept, and an honest one is served. */
async function isUnharmed(): Promise<void> {
  expect(await records()).toBe(before);
  const honest = await peer.push();
  expect((await peer.post(honest.headers, await bytesOf(honest.body()))).status).toBe(201);
}

/** Writes octets on a connection of hospital A and ends it; the statuses that came back. */
async function exchanged(octets: Uint8Array): Promise<readonly number[]> {
  const keys = join(pki, "hospital-a");
  const socket = connect({
    host: "127.0.0.1",
    port: Number(exchange.env.B_PORT),
    key: read(keys, "tls.key"),
    cert: read(keys, "tls.crt"),
    ca: read(pki, "ca.crt"),
  });
  socket.on("error", () => undefined);
  let back = "";
  socket.on("data", (data: Buffer) => {
    back += data.toString("latin1");
  });
  socket.end(octets);
  await until("the connection is over", () => socket.closed || socket.readableEnded);
  return [...back.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status]) => Number(status));
}

/** A request as it is written, with these headers about its length. */
async function request(lengths: (length: number) => readonly (readonly [string, string])[]): Promise<Buffer> {
  const sealed = await peer.push();
  const body = await bytesOf(sealed.body());
  const headers = [["Host", "b"], ...sealed.headers, ...lengths(body.length)];
  const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  return Buffer.concat([Buffer.from(`POST /semrs/v1/repository/documents HTTP/1.1\r\n${lines}\r\n`), body]);
}

describe("a Content-Length that lies", () => {
  test("shorter than the envelope: it breaks off there, and what follows is no request", async () => {
    const statuses = await exchanged(await request((length) => [["Content-Length", String(length - 1_000)]]));
    expect(statuses[0]).toBeGreaterThanOrEqual(400);
    expect(statuses.filter((status) => status < 400)).toEqual([]);
    await isUnharmed();
  });

  test("longer than the envelope: a message that its sender has not ended is not taken", async () => {
    const statuses = await exchanged(await request((length) => [["Content-Length", String(length + 1_000)]]));
    expect(statuses.filter((status) => status < 400)).toEqual([]);
    await isUnharmed();
  });

  test.each<[string, (length: number) => readonly (readonly [string, string])[]]>([
    [
      "two of them",
      (n) => [
        ["Content-Length", String(n)],
        ["Content-Length", String(n - 1)],
      ],
    ],
    [
      "one beside chunks",
      (n) => [
        ["Content-Length", String(n)],
        ["Transfer-Encoding", "chunked"],
      ],
    ],
    ["a negative one", () => [["Content-Length", "-1"]]],
    ["one that is no number", () => [["Content-Length", "0x10"]]],
  ])("%s: refused before anything is read", async (_what, lengths) => {
    expect((await exchanged(await request(lengths)))[0]).toBe(400);
    await isUnharmed();
  });
});

describe(`more than ${maxParts} parts`, () => {
  test("in the manifest, which is signed as it should be", async () => {
    const segs = Buffer.alloc(32);
    const { headers, body } = await forge({
      draft: await peer.draft(),
      signer: peer.signer(),
      created: new Date(),
      manifest: (manifest) => {
        const [first] = manifest.parts;
        const root = rootOf(1, segs);
        const rest = Array.from({ length: maxParts }, (_, index) => ({
          ...{ n: partNumber(index + 1), role: "attachment", type: "x", size: 1, seg: 1_048_576 },
          ...{ segs: segs.toString("base64"), root },
        }));
        return { ...manifest, parts: [first, ...rest] };
      },
    });
    expect(await peer.post(headers, body)).toMatchObject({ status: 422, profile: undefined });
    const refused = exchange.log.findLast(({ event }) => event === "repository.refused");
    expect(refused?.fields.reason).toMatch(/^manifest: .*parts/);
    await isUnharmed();
  });

  test("in the body alone", async () => {
    const { headers, body } = await forge({
      draft: await peer.draft(),
      signer: peer.signer(),
      created: new Date(),
      frames: (frames) => [
        ...frames.slice(0, 4),
        ...Array.from({ length: maxParts + 1 }, () => Buffer.alloc(64, 0x30)),
      ],
    });
    const { status, profile } = await peer.post(headers, body);
    expect(status).toBeGreaterThanOrEqual(400);
    expect(profile).toBeUndefined();
    await isUnharmed();
  });
});

test("a TLS certificate of the same authority that no partner has: refused in clear, whatever is in the envelope", async () => {
  await initPki(pki, ["hospital-c"], { now: new Date() });
  const sealed = await peer.push();
  const said = await peer.post(sealed.headers, await bytesOf(sealed.body()), { as: join(pki, "hospital-c") });
  expect(said).toMatchObject({ status: 422, profile: undefined });
  expect(exchange.log.some(({ fields }) => /belongs to no partner/.test(fields.reason ?? ""))).toBe(true);
  await isUnharmed();
});
