/** The REST service within the limits of its site, beside MLLP: connections, and octets that are not on the disk yet. */
import { once } from "node:events";
import { request } from "node:https";
import { connect } from "node:net";
import { join } from "node:path";
import { type TLSSocket, connect as tlsConnect } from "node:tls";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { openBudget } from "../../connectors/mllp/budget.ts";
import { segmentBytes } from "../../envelope/index.ts";
import { openHolding } from "../../exchange/held.ts";
import { bytesOf } from "../envelope/people.ts";
import { openExchange, type TestExchange, testPki, until } from "../sites.ts";
import { peerOf, read } from "./peer.ts";

describe("over a house", () => {
  let pki: string;
  let exchange: TestExchange | undefined;
  beforeAll(async () => {
    pki = await testPki();
  });
  afterEach(() => exchange?.close());

  const openWith = async (limits: string) => {
    const edit = (yaml: string) => yaml.replace(/(\n {2}hospital-b:\n)/, `$1    limits: ${limits}\n`);
    exchange = await openExchange(pki, {}, edit);
    const { env, log } = exchange;
    const peer = peerOf(pki, env.B_PORT);
    const envelope = await peer.push();
    const body = await bytesOf(envelope.body());
    const push = async (): Promise<number> => (await peer.post(envelope.headers, body)).status;
    /** What a HIS hears that has sent nothing yet; empty where it may go on. */
    const mllp = async (): Promise<string> => {
      const socket = connect(Number(env.B_ADT), "127.0.0.1").on("error", () => undefined);
      let back = "";
      socket.on("data", (data: Buffer) => (back += data.toString("latin1"))).end();
      await until("it is closed", () => socket.closed);
      return back;
    };
    const hop = {
      host: "127.0.0.1",
      port: Number(env.B_PORT),
      key: read(join(pki, "hospital-a"), "tls.key"),
      cert: read(join(pki, "hospital-a"), "tls.crt"),
      ca: read(pki, "ca.crt"),
    };
    const refusals = () => log.filter(({ site, fields }) => site === "hospital-b" && fields.code === "PEER_BUSY");
    return { envelope, body, push, mllp, hop, refusals };
  };

  test("its connections count with those of the systems: one too many is told 429 and closed, until a place is free", async () => {
    const { push, mllp, hop, refusals } = await openWith("{ connections: 2 }");
    const dial = async (): Promise<TLSSocket> => {
      const socket = tlsConnect(hop).on("error", () => undefined);
      await once(socket, "secureConnect");
      return socket;
    };
    expect(await mllp()).toBe("");
    const [first, second] = [await dial(), await dial()];
    expect(await push()).toBe(429);
    expect(refusals().at(-1)).toMatchObject({ event: "rest.refused", fields: { peer: "hospital-a" } });
    expect(await mllp()).toContain("MSA|AR");
    // Who was there before is served.
    let told = "";
    first.on("data", (data: Buffer) => (told += data.toString()));
    first.write("GET /semrs/v1/health/live HTTP/1.1\r\nHost: b\r\n\r\n");
    await until("it is answered", () => told.includes('{"live":true}'));
    second.destroy();
    await until("there is a place", async () => (await push()) === 201);
    first.destroy();
  });

  test("a partner has its share of them: what it opens beyond is told 429, or closed, takes no place of another's, and is told of once", async () => {
    const { push, hop } = await openWith("{ connections: 4, connectionsOfOne: 2 }");
    const dial = async (): Promise<TLSSocket> => {
      const socket = tlsConnect(hop).on("error", () => undefined);
      await once(socket, "secureConnect");
      return socket;
    };
    const own = [await dial(), await dial()];
    const beyond = [await dial(), await dial(), await dial()];
    expect(await push()).toBe(429);
    // Another house, on another connection.
    const as = { key: read(join(pki, "registry"), "tls.key"), cert: read(join(pki, "registry"), "tls.crt") };
    const asked = request({ ...hop, ...as, agent: false, path: "/semrs/v1/health/live" }).end();
    const [{ statusCode }] = await once(asked, "response");
    expect(statusCode).toBe(200);
    await until("they are closed", () => beyond.every((socket) => socket.closed));
    expect(own.some((socket) => socket.closed)).toBe(false);
    const told = exchange?.log.filter(({ site, event }) => site === "hospital-b" && event === "rest.crowded");
    expect(told?.map(({ fields }) => fields.peer)).toEqual(["hospital-a"]);
    own[0]?.destroy();
    await until("there is a place", async () => (await push()) === 201);
    own[1]?.destroy();
  });

  test("who has not shaken hands may be anybody: they take a partner's share of the places, and the oldest goes for one too many", async () => {
    const { push, mllp, hop } = await openWith("{ connections: 4, connectionsOfOne: 2 }");
    const gone: number[] = [];
    const strangers = Array.from({ length: 7 }, (_, n) =>
      connect(hop.port, hop.host)
        .on("error", () => undefined)
        .on("close", () => gone.push(n)),
    );
    await Promise.all(strangers.map((socket) => once(socket, "connect")));
    await until("three too many are closed", () => gone.length === 3);
    expect(await mllp()).toBe("");
    expect(await push()).toBe(201);
    for (const socket of strangers) socket.destroy();
  });

  test("an envelope that is not verified yet counts with what systems have in flight; when it is gone there is room", async () => {
    const { envelope, body, push, mllp, hop } = await openWith("{ held: 2MiB }");
    expect(await push()).toBe(201);
    const unfinished = request({
      ...hop,
      agent: false,
      path: "/semrs/v1/repository/documents",
      method: "POST",
      headers: { ...Object.fromEntries(envelope.headers), "Content-Length": 10_000_000 },
    }).on("error", () => undefined);
    unfinished.write(body.subarray(0, 500));
    unfinished.write(Buffer.alloc(1900 * 1024, 0x41));
    await until("there is no room", async () => (await push()) === 429);
    expect(await mllp()).toContain("MSA|AR");
    unfinished.destroy();
    await until("there is room", async () => (await push()) === 201 && (await mllp()) === "");
  });
});

describe("what a request holds", () => {
  const open = (budget: ReturnType<typeof openBudget>, isGone = () => false) => {
    let closed = (): void => undefined;
    let taken = 0;
    const caller = {
      get destroyed() {
        return isGone();
      },
      once: (_event: string, tell: () => void) => {
        closed = tell;
        return caller;
      },
    };
    const spool = {
      write: async (cipher: AsyncIterable<Uint8Array>) => {
        for await (const _ of cipher);
        return { read: async function* () {} };
      },
    };
    const holding = openHolding(budget, caller as never, spool);
    async function* pieces(): AsyncGenerator<Uint8Array> {
      for (;;) {
        taken += 1;
        yield new Uint8Array(600);
      }
    }
    const body = holding.counted(pieces())[Symbol.asyncIterator]();
    return { holding, body, taken: () => taken, close: () => closed() };
  };
  const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

  test("over the budget one reads on, the one that has held for longest; another one waits until it has left", async () => {
    const budget = openBudget(1000, 0);
    const [one, two] = [open(budget), open(budget)];
    await one.body.next();
    await two.body.next();
    await one.body.next();
    const next = two.body.next();
    await settled();
    expect([one.taken(), two.taken()]).toEqual([2, 1]);
    one.holding.left();
    await next;
    expect(two.taken()).toBe(2);
  });

  test("who waits and is gone ends; what is verified waits no more, and counts a mebibyte at most", async () => {
    const budget = openBudget(1000, 0);
    let isGone = false;
    const [one, two, three] = [open(budget), open(budget, () => isGone), open(budget)];
    for (const each of [one, two, three]) await each.body.next();
    const next = two.body.next();
    isGone = true;
    two.close();
    await next;
    expect(two.taken()).toBe(2);
    three.holding.verified();
    const large = openBudget(segmentBytes + 1200, 0);
    const four = open(large);
    await four.body.next();
    four.holding.verified();
    for (let n = 0; n < 4000; n += 1) await Promise.all([three.body.next(), four.body.next()]);
    expect(three.taken()).toBe(4001);
    expect(large.hasRoom()).toBe(true);
    expect(() => open(budget)).toThrow(expect.objectContaining({ code: "PEER_BUSY" }));
  });
});
