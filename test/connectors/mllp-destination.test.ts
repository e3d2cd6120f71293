/** The MLLP sender: connections kept and shared, several addresses, enhanced mode and release 2, against scripted peers. */
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import type { Outcome } from "../../connectors/connector.ts";
import { frameOf, openFramer } from "../../connectors/mllp/framer.ts";
import { mllpDestination } from "../../connectors/mllp/index.ts";
import { readMsh } from "../../formats/hl7.ts";
import { until } from "../sites.ts";

const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

type Peer = {
  readonly port: number;
  readonly sockets: Socket[];
  readonly seen: string[];
  readonly server: { close(): unknown };
};
async function peer(answer: (socket: Socket, id: string) => void): Promise<Peer> {
  const [sockets, seen]: [Socket[], string[]] = [[], []];
  const server = createServer((socket) => {
    sockets.push(socket);
    const framer = openFramer(1e6);
    socket.on("error", () => undefined);
    socket.on("data", (chunk: Buffer) => {
      for (const frame of framer.push(chunk)) {
        if (frame.kind === "oversize") continue;
        const id = frame.bytes.length === 1 ? `byte ${frame.bytes[0]}` : readMsh(frame.bytes).controlId;
        seen.push(id);
        if (frame.bytes.length > 1) answer(socket, id);
      }
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  stops.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, sockets, seen, server };
}
const ack = (code: string, of: string): Uint8Array =>
  frameOf(Buffer.from(`MSH|^~\\&|||||||ACK|X|P|2.5.1\rMSA|${code}|${of}\r`));
const say =
  (...codes: readonly string[]) =>
  (socket: Socket, id: string): void =>
    void socket.write(Buffer.concat(codes.map((code) => ack(code, id))));

/** One site: its connections end with it. */
function site() {
  const stopping = new AbortController();
  const log: string[] = [];
  stops.push(() => stopping.abort());
  const context = { log: (event: string) => void log.push(event), signal: stopping.signal };
  const send = async (
    port: number,
    id: string,
    options = {},
    ready = async (): Promise<unknown> => undefined,
  ): Promise<Outcome | undefined> => {
    let outcome: Outcome | undefined;
    const bytes = Buffer.from(`MSH|^~\\&|A|A|B|B|20260102||MDM^T02|${id}|P|2.5.1\r`);
    const item = { controlId: id, size: bytes.length, body: () => one(bytes, ready) };
    const settings = mllpDestination.options.parse({
      host: "127.0.0.1",
      port,
      keepSeconds: 60,
      responseSeconds: 0.5,
      ...options,
    });
    await mllpDestination.send(settings, one(item), (_item, said) => (outcome = said), context);
    return outcome;
  };
  return { send, log, stop: () => stopping.abort() };
}
async function* one<T>(value: T, ready = async (): Promise<unknown> => undefined): AsyncGenerator<T> {
  await ready();
  yield value;
}

describe("connections", () => {
  test("one is kept for the next message, and ends with the site", async () => {
    const his = await peer(say("AA"));
    const { send, stop } = site();
    for (const id of ["1", "2", "3"]) expect(await send(his.port, id)).toMatchObject({ state: "delivered" });
    expect(his.sockets).toHaveLength(1);
    stop();
    await until("it is closed", () => his.sockets[0]?.closed === true || his.sockets[0]?.readableEnded === true);
  });

  test("no more are opened than there may be; messages side by side share them", async () => {
    const answers: (() => void)[] = [];
    const his = await peer((socket, id) => void answers.push(() => socket.write(ack("AA", id))));
    const { send } = site();
    const sent = ["1", "2", "3", "4", "5"].map((id) => send(his.port, id, { connections: 2, responseSeconds: 30 }));
    for (let n = 1; n <= 5; n += 1) {
      await until("a message", () => answers.length > 0);
      answers.shift()?.();
    }
    expect((await Promise.all(sent)).every((each) => each?.state === "delivered")).toBe(true);
    expect(his.sockets).toHaveLength(2);
  });

  test("one that was not answered is never used again", async () => {
    const his = await peer((socket, id) => void (id !== "1" && socket.write(ack("AA", id))));
    const { send } = site();
    expect(await send(his.port, "1")).toMatchObject({ state: "ambiguous" });
    expect(await send(his.port, "2")).toMatchObject({ state: "delivered" });
    expect(his.sockets).toHaveLength(2);
  });

  test("one that the peer closes while the message is made ready has nothing of it on the wire", async () => {
    const his = await peer(say("AA"));
    const { send } = site();
    expect(await send(his.port, "1")).toMatchObject({ state: "delivered" });
    const sent = send(his.port, "2", {}, async () => {
      const [socket] = his.sockets;
      if (socket) await once(socket.end(), "end");
    });
    await expect(sent).rejects.toMatchObject({ code: "PEER_UNREACHABLE" });
    expect(his.seen).toEqual(["1"]);
  });

  test("one that the peer closed is replaced", async () => {
    const his = await peer(say("AA"));
    const { send } = site();
    await send(his.port, "1");
    his.sockets[0]?.end();
    await until("closed", () => his.sockets[0]?.closed === true);
    expect(await send(his.port, "2")).toMatchObject({ state: "delivered" });
    expect(his.sockets).toHaveLength(2);
  });

  test("where the first address is down the next is asked, in order", async () => {
    const gone = await peer(say("AA"));
    gone.server.close();
    const [second, third] = [await peer(say("AA")), await peer(say("AA"))];
    const standby = [second, third].map(({ port }) => ({ host: "127.0.0.1", port }));
    const { send } = site();
    expect(await send(gone.port, "1", { standby })).toMatchObject({ state: "delivered" });
    expect([second.seen, third.seen]).toEqual([["1"], []]);
    await expect(send(gone.port, "2", { standby: [{ host: "127.0.0.1", port: gone.port }] })).rejects.toMatchObject({
      code: "PEER_UNREACHABLE",
    });
  });
});

/** What answers without a control id or type of its own says in MSA all that is asked. */
test.each([
  ["no control id", "MSH|^~\\&|HIS|B|SEMRS|B|20260102||ACK^T02||P|2.3"],
  ["no message type", "MSH|^~\\&|HIS|B|SEMRS|B|20260102|||X1|P|2.3"],
  ["nothing but its separators", "MSH|^~\\&|"],
  ["UNICODE in MSH-18", "MSH|^~\\&|||||||ACK|X1|P|2.4||||||UNICODE"],
])("an acknowledgement with %s is one", async (_what, msh) => {
  const answering =
    (code: string) =>
    (socket: Socket, id: string): void =>
      void socket.write(frameOf(Buffer.from(`${msh}\rMSA|${code}|${id}\r`)));
  const { send } = site();
  expect(await send((await peer(answering("AA"))).port, "1")).toEqual({ state: "delivered", detail: "AA" });
  expect(await send((await peer(answering("AE"))).port, "2")).toMatchObject({ state: "refused", detail: "AE" });
});

test.each([
  ["AA", "\u001c", { state: "delivered", detail: "AA" }],
  ["AA", "\u001c\n", { state: "delivered", detail: "AA" }],
  ["AE", "", { state: "refused", detail: "AE" }],
])(
  "one whose frame does not end as it should is one, as soon as it is certain that no more of it comes: %s%j",
  async (code, end, expected) => {
    const answering =
      (isOver: boolean) =>
      (socket: Socket, id: string): void => {
        socket.write(`\u000bMSH|^~\\&|||||||ACK|X|P|2.5.1\rMSA|${code}|${id}\r${end}`);
        if (isOver) socket.end();
      };
    const { send } = site();
    expect(await send((await peer(answering(true))).port, "12", { responseSeconds: 30 })).toMatchObject(expected);
    expect(await send((await peer(answering(false))).port, "12")).toMatchObject(expected);
  },
);

test("half of one is none", async () => {
  const his = await peer((socket) => void socket.end("\u000bMSH|^~\\&|||||||ACK|X|P|2.5.1\rMSA|AA|1"));
  expect(await site().send(his.port, "12")).toMatchObject({ state: "ambiguous" });
});

describe("what a negative answer means is said for each system", () => {
  test.each(["AE", "陳怡君"])("MSA-1 %s, with a name in ERR-3: neither name is told", async (code) => {
    const err = "ERR|||陳怡君 A223456781^no such patient";
    const his = await peer((socket, id) => {
      socket.write(
        frameOf(Buffer.from(`MSH|^~\\&|||||||ACK|X|P|2.5.1|||||||UNICODE UTF-8\rMSA|${code}|${id}\r${err}\r`)),
      );
    });
    const outcome = await site().send(his.port, "1");
    expect(outcome).toMatchObject({ state: "refused", code: "PEER_REFUSED" });
    expect(JSON.stringify(outcome)).not.toMatch(/怡君|A223456781/);
  });

  const refusing =
    (code: string, error = "") =>
    (socket: Socket, id: string): void => {
      const err = error ? `ERR|||${error}^^HL70357\r` : "";
      socket.write(frameOf(Buffer.from(`MSH|^~\\&|||||||ACK|X|P|2.5.1\rMSA|${code}|${id}\r${err}`)));
    };
  test.for([
    [{}, "AE", "", "PEER_REFUSED"],
    [{}, "AR", "", "PEER_BUSY"],
    [{ AE: "retry" }, "AE", "", "PEER_BUSY"],
    [{ AE: "retry" }, "CE", "207", "PEER_BUSY"],
    [{ AR: "park" }, "AR", "", "PEER_REFUSED"],
    [{ AR: "park" }, "CR", "207", "PEER_REFUSED"],
    [{ AE: "retry", AR: "retry" }, "AE", "203", "PEER_REFUSED"],
    [{ AE: "retry", AR: "retry" }, "AR", "200", "PEER_REFUSED"],
  ] as const)("%j: %s %s is %s", async ([refusals, code, error, expected]) => {
    const his = await peer(refusing(code, error));
    const detail = error ? `${code} ${error}` : code;
    expect(await site().send(his.port, "1", { refusals })).toMatchObject({ state: "refused", code: expected, detail });
  });
});

describe("enhanced mode", () => {
  test("a commit is an answer, and what the application says later is of no other message", async () => {
    const his = await peer((socket, id) => {
      socket.write(ack("CA", id));
      if (id === "2") socket.write(Buffer.concat([ack("AE", "1"), ack("AA", id)]));
    });
    const { send } = site();
    expect(await send(his.port, "1")).toEqual({ state: "delivered", detail: "CA" });
    expect(await send(his.port, "2")).toEqual({ state: "delivered", detail: "CA" });
  });

  test.for([
    [["CA", "AA"], { state: "delivered", detail: "AA" }],
    [["CA", "AE"], { state: "refused", code: "PEER_REFUSED", detail: "AE" }],
    [["CA", "AR"], { state: "refused", code: "PEER_BUSY" }],
    [["CE"], { state: "refused", code: "PEER_REFUSED", detail: "CE" }],
    [["CR"], { state: "refused", code: "PEER_BUSY" }],
    [["CA"], { state: "ambiguous" }],
  ] as const)("awaits: application, and %s", async ([codes, expected]) => {
    const his = await peer(say(...codes));
    expect(await site().send(his.port, "1", { awaits: "application" })).toMatchObject(expected);
  });

  test("an answer that comes after its time is told, and taken for no other", async () => {
    const his = await peer((socket, id) => {
      socket.write(ack("CA", id));
      if (id === "1") socket.write(ack("AE", id));
    });
    const { send, log } = site();
    await send(his.port, "1");
    await until("the late answer is there", async () => {
      expect(await send(his.port, "2")).toMatchObject({ state: "delivered" });
      return log.includes("mllp.late");
    });
  });
});

describe("MLLP release 2", () => {
  const byte = (octet: number): Uint8Array => frameOf(Uint8Array.of(octet));
  test("a commit byte, then the acknowledgement, which is committed in turn", async () => {
    const his = await peer((socket, id) => void socket.write(Buffer.concat([byte(6), ack("AA", id)])));
    expect(await site().send(his.port, "1", { release: 2 })).toEqual({ state: "delivered", detail: "AA" });
    await until("our commit", () => his.seen.includes("byte 6"));
  });

  test("a refusal byte: not kept, to be sent again", async () => {
    const his = await peer((socket) => void socket.write(byte(0x15)));
    expect(await site().send(his.port, "1", { release: 2 })).toMatchObject({
      state: "refused",
      code: "PEER_BUSY",
      detail: "NAK",
    });
  });
});
