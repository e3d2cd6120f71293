/** MLLP: framing on every split, acknowledgements by MSH-15/16, bad input, and the sender against peers that misbehave. */
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import type { Arrival, Deliver, Outcome } from "../../connectors/connector.ts";
import { frameOf, openFramer } from "../../connectors/mllp/framer.ts";
import { mllpDestination, mllpSource } from "../../connectors/mllp/index.ts";
import { Fault } from "../../errors.ts";
import { readMsh } from "../../formats/hl7.ts";
import { fixtures } from "../peers.ts";
import { until } from "../sites.ts";

const context = { log: () => undefined, signal: new AbortController().signal };
const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

const message = (controlId: string, acks = "|", extra = ""): string =>
  `MSH|^~\\&|HIS|A|SEMRS|A|20260102030405||ADT^A01^ADT_A01|${controlId}|P|2.5.1|||${acks}\rEVN|A01\rPID|1||P1^^^MOI\r${extra}`;

async function listening(deliver: Deliver, options = {}): Promise<{ port: number; seen: string[] }> {
  const seen: string[] = [];
  const source = await mllpSource.listen(
    mllpSource.options.parse({ port: 0, ...options }),
    async (arrival) => {
      for await (const _ of arrival.body);
      seen.push(`${arrival.mediaType} ${arrival.controlId}`);
      return await deliver(arrival);
    },
    context,
  );
  stops.push(() => source.stop());
  return { port: Number(source.address.split(":")[1]), seen };
}

const accepting: Deliver = async () => ({ duplicate: false, answer: Promise.resolve({ accepted: true }) });

/** Sends octets and collects what comes back until it holds `count` acknowledgements. */
async function talk(port: number, chunks: readonly (string | Uint8Array)[], count: number): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  stops.push(() => socket.destroy());
  let back = "";
  socket.on("data", (data: Buffer) => (back += data.toString("latin1")));
  await once(socket, "connect");
  for (const chunk of chunks) socket.write(chunk);
  await until(`${count} acknowledgements`, () => back.split("\u001c\r").length - 1 >= count, 5_000);
  return back;
}
const codes = (back: string): string[] =>
  [...back.matchAll(/MSA\|(\w\w)\|([^\r|]*)/g)].map(([, code, of]) => `${code} ${of}`);
const framed = (text: string): Buffer => Buffer.from(frameOf(Buffer.from(text, "latin1")));

/** Two messages one after the other, their segments ended otherwise than the standard says. */
const lines = (end: string): string => (message("1") + message("2")).replaceAll("\r", end);

describe("framing", () => {
  test("every split and coalescing of a stream gives the same frames", () => {
    const stream = Buffer.concat([
      Buffer.from("noise"),
      framed(message("1")),
      framed(message("2")),
      Buffer.from("\n"),
      framed(message("3")),
    ]);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1 }), (sizes) => {
        const framer = openFramer(1e6);
        const frames: string[] = [];
        for (let at = 0, i = 0; at < stream.length; i += 1) {
          const size = sizes[i % sizes.length] ?? 1;
          for (const frame of framer.push(stream.subarray(at, at + size)))
            frames.push(frame.kind === "message" ? readMsh(frame.bytes).controlId : frame.kind);
          at += size;
        }
        expect(frames).toEqual(["1", "2", "3"]);
      }),
    );
  });

  test.for([
    ["a start block inside an open frame", [`\u000b${message("1")}`, framed(message("2"))], ["broken 1", "message 2"]],
    ["FS without CR", [`\u000b${message("1")}\u001c`, framed(message("2"))], ["broken 1", "message 2"]],
    ["two messages in one frame", [framed(message("1") + message("2"))], ["broken 1"]],
    ["two messages ended by LF in one frame", [framed(lines("\n"))], ["broken 1"]],
    ["two messages ended by CRLF in one frame", [framed(lines("\r\n"))], ["broken 1"]],
  ] as const)("%s is broken, and never merges two messages", ([, chunks, expected]) => {
    const framer = openFramer(1e6);
    const frames = chunks.flatMap((chunk) => framer.push(Buffer.from(chunk as string, "latin1")));
    expect(
      frames.map((frame) => `${frame.kind} ${frame.kind === "oversize" ? "" : readMsh(frame.bytes).controlId}`),
    ).toEqual(expected);
  });

  const streams = fixtures("hl7v2");
  test.skipIf(!streams.available)(`third-party streams, replayed at every split ${streams.reason}`, () => {
    /** Frames with their octets, and what is left open. */
    const framesOf = (...chunks: readonly Uint8Array[]): readonly string[] => {
      const framer = openFramer(1e7);
      const frames = [...chunks.flatMap((chunk) => framer.push(Uint8Array.from(chunk))), ...framer.end()];
      return frames.map((frame) =>
        frame.kind === "oversize" ? frame.kind : `${frame.kind} ${Buffer.from(frame.bytes).toString("latin1")}`,
      );
    };
    const names = readdirSync(streams.path).filter((file) => file.endsWith(".mllp"));
    expect(names).toHaveLength(5);
    for (const name of names) {
      const bytes = readFileSync(join(streams.path, name));
      const whole = framesOf(bytes);
      expect(framesOf(...Array.from(bytes, (octet) => Uint8Array.of(octet))), `${name}, octet by octet`).toEqual(whole);
      for (let at = 1; at < bytes.length; at += 1)
        expect(framesOf(bytes.subarray(0, at), bytes.subarray(at)), `${name} at ${at}`).toEqual(whole);
    }
  });
});

describe("the source", () => {
  test("answers pipelined messages in order, whatever order their verdicts come in", async () => {
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    const { port } = await listening(async ({ controlId }) => ({
      duplicate: false,
      answer: controlId === "1" ? held.then(() => ({ accepted: true })) : Promise.resolve({ accepted: true }),
    }));
    const answers = talk(port, [Buffer.concat([framed(message("1")), framed(message("2")), framed(message("3"))])], 3);
    await new Promise((resolve) => setImmediate(resolve));
    release();
    expect(codes(await answers)).toEqual(["AA 1", "AA 2", "AA 3"]);
  });

  test.for([
    ["|", ["AA 1"]],
    ["AL|NE", ["CA 1"]],
    ["AL|AL", ["CA 1", "AA 1"]],
    ["NE|AL", ["AA 1"]],
  ] as const)("MSH-15/16 of %s: %s", async ([acks, expected]) => {
    const { port } = await listening(accepting);
    expect(codes(await talk(port, [framed(message("1", acks))], expected.length))).toEqual(expected);
  });

  test("NE/NE is taken and not answered", async () => {
    const { port, seen } = await listening(accepting);
    const back = await talk(port, [framed(message("1", "NE|NE")), framed(message("2"))], 1);
    expect(codes(back)).toEqual(["AA 2"]);
    expect(seen).toEqual(["application/hl7-v2 1", "application/hl7-v2 2"]);
  });

  test("says AE or AR with the reason when a message is refused", async () => {
    const { port } = await listening(async ({ controlId }) => {
      if (controlId === "full") throw new Fault("STORE_FULL", "no space | left");
      return {
        duplicate: false,
        answer: Promise.resolve({ accepted: false, code: "CDA_INVALID", reason: "line 3" } as const),
      };
    });
    const back = await talk(port, [framed(message("full")), framed(message("bad"))], 2);
    expect(codes(back)).toEqual(["AR full", "AE bad"]);
    expect(back).toContain("ERR|||207^^HL70357|E|||STORE_FULL: no space \\F\\ left");
  });

  test("gives broken frames to the channel as what they are, and answers AE", async () => {
    const { port, seen } = await listening(async ({ mediaType }: Arrival) => {
      if (mediaType === "application/octet-stream") throw new Fault("HL7_MALFORMED", "broken");
      return await accepting({} as Arrival);
    });
    expect(codes(await talk(port, [`\u000b${message("1")}`, framed(message("2"))], 2))).toEqual(["AE 1", "AA 2"]);
    expect(seen).toEqual(["application/octet-stream 1", "application/hl7-v2 2"]);
  });

  test("refuses a message over its limit with AR and closes, keeping nothing", async () => {
    const { port, seen } = await listening(accepting, { maxBytes: 2048 });
    expect(await talk(port, [`\u000b${message("1")}${"x".repeat(5000)}`], 1)).toContain("MSA|AR|");
    expect(seen).toEqual([]);
  });

  test("closes a connection whose frame does not go on", async () => {
    const { port } = await listening(accepting, { frameSeconds: 0.2 });
    const socket = connect(port, "127.0.0.1").resume();
    socket.write("\u000bMSH|");
    await once(socket, "close");
  });
});

describe("the destination", () => {
  async function peer(answer: (socket: Socket, controlId: string) => void): Promise<number> {
    const server = createServer((socket) => {
      const framer = openFramer(1e6);
      socket.on("error", () => undefined);
      socket.on("data", (chunk: Buffer) => {
        for (const frame of framer.push(chunk))
          if (frame.kind === "message") answer(socket, readMsh(frame.bytes).controlId);
      });
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    stops.push(() => server.close());
    return (server.address() as AddressInfo).port;
  }
  const ack = (code: string, of: string, error = ""): Buffer =>
    framed(`MSH|^~\\&|||||||ACK|X|P|2.5.1\rMSA|${code}|${of}\r${error}`);

  async function send(port: number): Promise<Outcome | undefined> {
    let outcome: Outcome | undefined;
    const bytes = Buffer.from(message("7"));
    const item = {
      controlId: "7",
      size: bytes.length,
      body: async function* () {
        yield bytes;
      },
    };
    await mllpDestination.send(
      mllpDestination.options.parse({ host: "127.0.0.1", port, responseSeconds: 0.5 }),
      (async function* () {
        yield item;
      })(),
      (_item, said) => (outcome = said),
      context,
    );
    return outcome;
  }

  test.for([
    ["AA", (socket: Socket, of: string) => socket.write(ack("AA", of)), { state: "delivered" }],
    [
      "AE is parked",
      (socket: Socket, of: string) => socket.write(ack("AE", of, "ERR|||102\r")),
      { state: "refused", code: "PEER_REFUSED", detail: "AE 102" },
    ],
    [
      "AR is repeated",
      (socket: Socket, of: string) => socket.write(ack("AR", of)),
      { state: "refused", code: "PEER_BUSY" },
    ],
    [
      "AR with ERR-3 200 is parked",
      (socket: Socket, of: string) => socket.write(ack("AR", of, "ERR|||200\r")),
      { state: "refused", code: "PEER_REFUSED" },
    ],
    [
      "an acknowledgement of another message, then ours",
      (socket: Socket, of: string) => socket.write(Buffer.concat([ack("AA", "other"), ack("AE", of)])),
      { state: "refused" },
    ],
    ["silence is ambiguous", () => undefined, { state: "ambiguous" }],
    ["a closed connection is ambiguous", (socket: Socket) => socket.destroy(), { state: "ambiguous" }],
  ] as const)("%s", async ([, answer, expected]) => {
    expect(await send(await peer(answer as (socket: Socket, of: string) => void))).toMatchObject(expected);
  });

  test("nobody there is unreachable", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    server.close();
    await once(server, "close");
    await expect(send(port)).rejects.toMatchObject({ code: "PEER_UNREACHABLE" });
  });
});

test("large frames in pieces of any size come out as they were, one after the other, and one over the limit is none", () => {
  const limit = 5 * 1024 * 1024;
  const bodies = [2_500_001, 300, 1024 * 1024 + 1, limit].map((size, n) => Buffer.alloc(size, 0x41 + n));
  const stream = Buffer.concat(bodies.map(frameOf));
  for (const step of [65_536, 1_000_003]) {
    const framer = openFramer(limit);
    const found: Uint8Array[] = [];
    for (let at = 0; at < stream.length; at += step)
      for (const frame of framer.push(stream.subarray(at, at + step)))
        if (frame.kind === "message") found.push(frame.bytes);
    expect(found.map((bytes, n) => Buffer.from(bytes).equals(bodies[n] ?? Buffer.alloc(0)))).toEqual(
      bodies.map(() => true),
    );
    expect(framer.held()).toBe(0);
    const over = frameOf(Buffer.alloc(limit + 1, 0x5a));
    const kinds: string[] = [];
    for (let at = 0; at < over.length && kinds.length === 0; at += step)
      for (const frame of framer.push(over.subarray(at, at + step))) kinds.push(frame.kind);
    expect(kinds).toEqual(["oversize"]);
  }
});
