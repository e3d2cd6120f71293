/** How a connection to the MLLP source ends, and what does not end it: a stop inside a frame, a message over the limit, padding. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { afterEach, expect, test } from "vitest";
import type { Arrival, Running } from "../../connectors/connector.ts";
import { frameOf } from "../../connectors/mllp/framer.ts";
import { mllpSource } from "../../connectors/mllp/index.ts";
import { until } from "../sites.ts";

const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

const message = (controlId: string, acks = "|", rest = ""): string =>
  `MSH|^~\\&|HIS|A|SEMRS|A|20260102030405||ADT^A01^ADT_A01|${controlId}|P|2.5.1|||${acks}\rEVN|A01\r${rest}`;
const framed = (text: string): Buffer => Buffer.from(frameOf(Buffer.from(text, "latin1")));
const codes = (back: string): string[] =>
  [...back.matchAll(/MSA\|(\w\w)\|([^\r|]*)/g)].map(([, code, of]) => `${code} ${of}`);

type Talk = {
  readonly source: Running;
  readonly socket: Socket;
  readonly back: () => string;
  readonly log: string[];
  readonly seen: Arrival[];
};
async function talk(options = {}): Promise<Talk> {
  const [log, seen]: [string[], Arrival[]] = [[], []];
  const source = await mllpSource.listen(
    mllpSource.options.parse({ port: 0, ...options }),
    async (arrival) => {
      seen.push(arrival);
      return { duplicate: false, answer: Promise.resolve({ accepted: true }) };
    },
    { log: (event) => void log.push(event), signal: new AbortController().signal },
  );
  const socket = connect(Number(source.address.split(":")[1]), "127.0.0.1");
  stops.push(
    () => source.stop(),
    () => socket.destroy(),
  );
  let back = "";
  socket.on("data", (data: Buffer) => (back += data.toString("latin1"))).on("error", () => undefined);
  await once(socket, "connect");
  return { source, socket, back: () => back, log, seen };
}

test("a message that a stop breaks off is neither kept nor refused: its sender repeats it", async () => {
  const { source, socket, back, seen, log } = await talk();
  socket.write(Buffer.concat([framed(message("1")), framed(message("2")).subarray(0, 40)]));
  await until("the first is answered", () => codes(back()).length === 1);
  const closed = once(socket, "end");
  await source.stop();
  await closed;
  expect(codes(back())).toEqual(["AA 1"]);
  expect(seen.map(({ mediaType, controlId }) => `${mediaType} ${controlId}`)).toEqual(["application/hl7-v2 1"]);
  expect(log).toEqual([]);
});

test.each([
  ["in one piece", "|", 5_000, "AR 9"],
  ["in many", "|", 100, "AR 9"],
  ["to be answered by a commit acknowledgement", "AL|NE", 100, "CR 9"],
])("a message over the limit is refused under its own control id: %s", async (_how, acks, size, expected) => {
  const { socket, back, seen } = await talk({ maxBytes: 4_096 });
  const frame = framed(message("9", acks, `NTE|1||${"x".repeat(4_096)}\r`));
  for (let at = 0; at < frame.length; at += size) {
    socket.write(frame.subarray(at, at + size));
    await new Promise((resolve) => setImmediate(resolve));
  }
  await once(socket, "end");
  expect(codes(back())).toEqual([expected]);
  expect(seen).toEqual([]);
});

test("one whose MSH line is over it is refused without", async () => {
  const { socket, back } = await talk({ maxBytes: 1_024 });
  socket.write(`\u000b${message("9").replace("SEMRS", "x".repeat(2_000)).replaceAll("\r", "|")}`);
  await once(socket, "end");
  expect(codes(back())).toEqual(["AR "]);
});

test("padding between frames is no message that never comes: the connection stays", async () => {
  const { socket, back, log } = await talk({ frameSeconds: 0.05 });
  const quiet = await talk({ frameSeconds: 0.05 });
  socket.write(Buffer.concat([framed(message("1")), Buffer.from("\n\0 \r\n")]));
  await until("it is skipped", () => log.includes("mllp.skipped"));
  // Another, in which something else came, is cut after its time: so has the first one's been.
  quiet.socket.write("x\n");
  await once(quiet.socket, "close");
  socket.write(framed(message("2")));
  await until("the second is answered", () => codes(back()).length === 2);
  expect(log).toEqual(["mllp.skipped"]);
  expect(quiet.log).toEqual(["mllp.skipped", "mllp.cut"]);
});
