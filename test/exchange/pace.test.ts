/** A body that drips: it is let go, whoever sends it, and nobody else waits for it. */
import { randomBytes } from "node:crypto";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { pemToDer, readCertificate } from "../../envelope/certificate.ts";
import type { Identity, Partner } from "../../envelope/identity.ts";
import { unwrapperFrom } from "../../envelope/keys.ts";
import { openLocations } from "../../exchange/locations.ts";
import { paced } from "../../exchange/pace.ts";
import { openRepository } from "../../exchange/repository.ts";
import { type Exchange, type Serving, serve } from "../../exchange/server.ts";
import { openSpools } from "../../exchange/spool.ts";
import { openStore } from "../../store/index.ts";
import type { Store } from "../../store/store.ts";
import { bytesOf } from "../envelope/people.ts";
import { testPki } from "../sites.ts";
import { type Peer, peerOf, read } from "./peer.ts";

/** Worth another attempt: a machine that was suspended, a line that was down, is no fault of the envelope. */
const tooSlow = { code: "PEER_BUSY", message: expect.stringMatching(/too slowly/) };
async function* chunks(count: number, bytes: number): AsyncGenerator<Uint8Array> {
  for (let n = 0; n < count; n += 1) yield new Uint8Array(bytes);
}
const lengthOf = async (body: AsyncIterable<Uint8Array>): Promise<number> => (await bytesOf(body)).length;

describe("a pace", () => {
  test("17 a body that stops is refused after the wait, one that drips as well", async () => {
    async function* stopping(): AsyncGenerator<Uint8Array> {
      yield* chunks(3, 10);
      await new Promise(() => undefined);
    }
    const stopped = paced(stopping(), { bytes: 100, ms: 20 });
    await expect(lengthOf(stopped.body)).rejects.toMatchObject(tooSlow);
    expect(stopped.isTooSlow()).toBe(true);
    await expect(lengthOf(stopped.body)).rejects.toMatchObject(tooSlow);

    async function* dripping(): AsyncGenerator<Uint8Array> {
      for (;;) {
        await wait(1);
        yield new Uint8Array(1);
      }
    }
    await expect(lengthOf(paced(dripping(), { bytes: 1_000_000, ms: 50 }).body)).rejects.toMatchObject(tooSlow);
  });

  test("what arrives counts, however long we take over it", async () => {
    const { body, isTooSlow } = paced(chunks(5, 10), { bytes: 1_000_000, ms: 20 });
    let size = 0;
    for await (const chunk of body) {
      await wait(10);
      size += chunk.length;
    }
    expect({ size, isTooSlow: isTooSlow() }).toEqual({ size: 50, isTooSlow: false });
  });

  test("each time enough has come, the wait begins anew", async () => {
    async function* steady(): AsyncGenerator<Uint8Array> {
      for (let n = 0; n < 10; n += 1) {
        await wait(20);
        yield new Uint8Array(10);
      }
    }
    // All in all 200 ms and more, of which 10 octets never take so long.
    expect(await lengthOf(paced(steady(), { bytes: 10, ms: 10_000 }).body)).toBe(100);
  });

  test("what comes on several connections of one peer counts together; one on which nothing comes is let go all the same", async () => {
    const flow = { octets: 0 };
    const pace = { bytes: 100, ms: 1_000 };
    let isOver = false;
    async function* quick(): AsyncGenerator<Uint8Array> {
      for (; !isOver; await wait(20)) yield new Uint8Array(50);
    }
    async function* slow(): AsyncGenerator<Uint8Array> {
      yield new Uint8Array(10);
      await wait(1_200);
      yield new Uint8Array(10);
    }
    async function* stopping(): AsyncGenerator<Uint8Array> {
      yield new Uint8Array(10);
      await new Promise(() => undefined);
    }
    const other = lengthOf(paced(quick(), pace, flow).body);
    const stopped = lengthOf(paced(stopping(), pace, flow).body);
    stopped.catch(() => undefined);
    expect(await lengthOf(paced(slow(), pace, flow).body)).toBe(20);
    await expect(stopped).rejects.toMatchObject(tooSlow);
    isOver = true;
    expect(await other).toBeGreaterThan(100);
    await expect(lengthOf(paced(slow(), pace).body)).rejects.toMatchObject(tooSlow);
  });

  test("a fault of the body is its own", async () => {
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield* chunks(1, 1);
      throw new Error("ECONNRESET");
    }
    await expect(lengthOf(paced(broken(), { bytes: 10, ms: 10_000 }).body)).rejects.toThrow("ECONNRESET");
  });
});

describe("a repository", () => {
  let pki: string;
  let store: Store;
  let serving: Serving;
  let peer: Peer;
  const reasons: string[] = [];
  let taken = 0;

  beforeAll(async () => {
    pki = await testPki();
    const of = (org: string, name: string): Uint8Array => pemToDer(read(join(pki, org), name))[0] ?? new Uint8Array();
    const sha256 = (der: Uint8Array): string => readCertificate(der).sha256;
    const partnerOf = (org: string): Partner => ({
      org,
      signing: [sha256(of(org, "sign.crt"))],
      decrypt: of(org, "decrypt.crt"),
      tls: sha256(of(org, "tls.crt")),
      profiles: ["semrs-2"],
    });
    const keys = join(pki, "hospital-b");
    const now = () => new Date();
    const folder = mkdtempSync(join(tmpdir(), "semrs-pace-"));
    store = await openStore({ folder, key: randomBytes(32), now });
    const identity: Identity = {
      org: "hospital-b",
      signer: peerOf(pki, undefined).signer("hospital-b"),
      unwrappers: [unwrapperFrom(read(keys, "decrypt.key"), read(keys, "decrypt.crt"))],
      trust: {
        anchors: pemToDer(read(pki, "ca.crt")),
        crls: pemToDer(read(pki, "ca.crl"), "X509 CRL"),
        revocation: "require",
      },
      self: partnerOf("hospital-b"),
      partners: new Map([["hospital-a", partnerOf("hospital-a")]]),
    };
    const exchange: Exchange = {
      identity,
      store,
      spools: openSpools(join(folder, "spool")),
      locations: openLocations(join(folder, "retrievals"), now),
      tls: { key: read(keys, "tls.key"), certificate: read(keys, "tls.crt"), ca: read(pki, "ca.crt") },
      now,
      log: (_event, fields) => void reasons.push(fields?.reason ?? ""),
      passed: () => undefined,
      // What is sent without a stop comes in pieces larger than that.
      pace: { bytes: 1_000, ms: 1_500 },
    };
    const nothing = async () => undefined;
    const repository = openRepository(exchange, {
      pushed: async (opened, changes) => {
        for await (const part of opened.parts()) taken += await lengthOf(part.cipher);
        await store.commit(changes);
      },
      corrected: nothing,
      related: nothing,
      legacy: nothing,
    });
    serving = await serve({ host: "127.0.0.1", port: 0 }, repository.resources, exchange, () => true);
    peer = peerOf(pki, serving.address.split(":")[1]);
  });
  afterAll(async () => {
    await serving.stop();
    await store.close();
  });

  test.each([
    ["before its signature", 500, 429],
    ["in mid-part", 900_000, 503],
  ])(
    "17 an envelope that stops %s may come again, its connection is closed, and nothing of it kept",
    async (_, sent, status) => {
      const sealed = await peer.push();
      const body = await bytesOf(sealed.body());
      const before = store.blobs.names("", 100).length;
      const { outgoing, answered } = peer.begin(sealed.headers, body.length);
      outgoing.write(body.subarray(0, sent));
      const { statusCode, headers } = await answered;
      expect([statusCode, headers.connection]).toEqual([status, "close"]);
      outgoing.destroy();
      expect(reasons.at(-1)).toMatch(/too slowly/);
      expect(store.blobs.names("", 100)).toHaveLength(before);

      // The same one, sent as it should be, is taken.
      expect(await peer.post(sealed.headers, body)).toMatchObject({ status: 201, profile: "semrs-2" });
      expect(taken).toBeGreaterThan(1_200_000);
    },
  );

  test.each([
    ["POST", "/nothing", 404],
    ["POST", "/repository/retrievals/%E0%A4%A", 400],
    ["GET", "/health/live", 200],
    ["GET", `/repository/retrievals/${"0".repeat(32)}`, 404],
  ])("17 a body that stops where nobody reads one keeps no connection: %s %s", async (method, path, status) => {
    const { outgoing, answered } = peer.begin([], 1_000_000, { method, path });
    outgoing.write(new Uint8Array(100));
    const { statusCode, headers } = await answered;
    expect([statusCode, headers.connection]).toEqual([status, "close"]);
    outgoing.destroy();
  });
});
