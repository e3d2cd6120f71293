/** Messages in: acknowledged by ours after fsync, by python3-hl7 and the servers of npm out of memory. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { ports } from "../../commands/demo/ports.ts";
import type { Item } from "../../connectors/connector.ts";
import type { Side, Workload } from "../harness.ts";
import { adtMessages, documentMessages, documentsOfOne } from "../load.ts";
import { sendMessages, sendPipelined } from "../mllp-load.ts";
import { type PeerName, peerNames } from "../mllp-peers.ts";
import { counted, fresh, missing, startExchange, startPeer } from "../subjects.ts";

const root = join(import.meta.dirname, "..");
const connections = 8;
const largeBytes = 50_000_000;

export const mllpAccept = (): readonly Workload[] => [
  {
    name: "ADT of 1 KB in, acknowledged after fsync (answer: stored), 8 connections",
    unit: "messages/s",
    target: { rate: 5_000, cpuMs: 0.2 },
    units: 4_000,
    quick: 800,
    warmUps: 10,
    ours: ours(adtMessages, "stored"),
    peers: [pythonHl7(adtMessages), ...peerNames.map((name) => ofNpm(name, adtMessages))],
  },
  {
    name: "MDM^T02 with a 30 KB CDA in, acknowledged after fsync (answer: stored), 8 connections",
    unit: "messages/s",
    target: { rate: 2_000 },
    units: 600,
    quick: 200,
    warmUps: 3,
    ours: ours(documentMessages, "stored"),
    peers: [pythonHl7(documentMessages)],
  },
  {
    name: "the same, acknowledged after validation (answer: validated)",
    unit: "messages/s",
    target: { rate: 500 },
    units: 600,
    quick: 200,
    warmUps: 3,
    ours: ours(documentMessages, "validated"),
    peers: [],
  },
  {
    name: "the same, all of one patient: one after the other, as they came",
    unit: "messages/s",
    units: 300,
    quick: 100,
    ours: ours(documentsOfOne, "validated"),
    peers: [],
  },
];

/** Its slowest answers, its largest message. */
export const mllpLimits = (): readonly Workload[] => [
  {
    name: "ADT of 1 KB on 32 connections: 1 / p99 of its answer (50 is 20 ms)",
    unit: "1/s",
    target: { rate: 50 },
    units: 4_000,
    quick: 800,
    warmUps: 10,
    ours: slowest(32),
    peers: [],
  },
  {
    name: "one message with 50 MB in OBX-5, stored",
    unit: "messages/s",
    target: { rate: 1, rssMb: 250 },
    units: 2,
    quick: 1,
    ours: ours(largeMessages, "stored", 1),
    peers: [],
  },
  {
    name: "ADT beside a batch of MDM pipelined on another connection: 1 / p99 of its answer (50 is 20 ms)",
    unit: "1/s",
    target: { rate: 50 },
    units: 2_000,
    quick: 400,
    ours: besideBatch(),
    peers: [],
  },
];

type Make = (count: number) => readonly Item[];

/** The ledger is the house's own: as many arrivals more as were sent. */
const ours = (make: Make, answer: "stored" | "validated", at: number = connections): Side => ({
  name: "semrs",
  start: async () => {
    const exchange = await startExchange({ ANSWER: answer });
    const { pid, mllp } = exchange.ready["hospital-a"];
    const arrivals = async (): Promise<number> => {
      const { arrivals: by } = await exchange.a.get<{ arrivals: Record<string, number> }>("/counts");
      return Object.values(by).reduce((sum, count) => sum + count, 0);
    };
    return {
      pid,
      stop: exchange.stop,
      run: async (units) => {
        const items = make(units);
        const before = await arrivals();
        const started = performance.now();
        await sendMessages(items, Number(mllp.split(":")[1]), at);
        const seconds = (performance.now() - started) / 1000;
        await counted("arrivals", before + units, arrivals);
        await idle(exchange.a);
        return { units, seconds };
      },
    };
  },
});

/** A message that no channel takes, with so much in OBX-5. */
function largeMessages(count: number): readonly Item[] {
  return adtMessages(count).map((item): Item => {
    const rest = Buffer.concat([Buffer.from("OBX|1|ED|||"), Buffer.alloc(largeBytes, "x"), Buffer.from("\r")]);
    const body = async function* () {
      yield* item.body();
      yield rest;
    };
    return { ...item, size: item.size + rest.length, body };
  });
}

const p99 = (times: readonly number[]): number =>
  [...times].sort((one, other) => one - other)[Math.floor(times.length * 0.99)] ?? 0;

/** Each connection has one message under way, and each message is timed. */
const slowest = (at: number): Side => ({
  name: "semrs",
  start: async () => {
    const exchange = await startExchange({ ANSWER: "stored" });
    const { pid, mllp } = exchange.ready["hospital-a"];
    return {
      pid,
      stop: exchange.stop,
      run: async (units) => {
        const times: number[] = [];
        await sendMessages(adtMessages(units), Number(mllp.split(":")[1]), at, (ms) => times.push(ms));
        return { units: 1, seconds: p99(times) / 1000 };
      },
    };
  },
});

/** So many messages on one connection as fast as it takes them; meanwhile one after the other on another, each timed. */
const besideBatch = (): Side => ({
  name: "semrs",
  start: async () => {
    const exchange = await startExchange({ ANSWER: "validated" });
    const { pid, mllp } = exchange.ready["hospital-a"];
    const port = Number(mllp.split(":")[1]);
    return {
      pid,
      stop: exchange.stop,
      run: async (units) => {
        let isOver = false;
        const batch = sendPipelined(documentMessages(units), port).finally(() => {
          isOver = true;
        });
        const times: number[] = [];
        while (!isOver) {
          await sendMessages(adtMessages(1), port, 1, (ms) => times.push(ms));
        }
        await batch;
        await idle(exchange.a);
        return { units: 1, seconds: p99(times) / 1000 };
      },
    };
  },
});

/** What follows the acknowledgement is over before the next run begins. */
async function idle(admin: Awaited<ReturnType<typeof startExchange>>["a"]): Promise<void> {
  await counted("idle", 1, async () => {
    const { arrivals, deliveries, records, items } = await admin.get<Record<string, Record<string, number>>>("/counts");
    const left = [arrivals?.accepted, deliveries?.queued, deliveries?.inflight, records?.stored, items?.waiting];
    return left.every((count = 0) => count === 0) ? 1 : 0;
  });
}

const script = `
import asyncio, sys, hl7
from hl7.mllp import start_hl7_server
async def serve(reader, writer):
    try:
        while True:
            message = await reader.readmessage()
            writer.writemessage(message.create_ack())
            await writer.drain()
    except asyncio.IncompleteReadError:
        pass
    finally:
        writer.close()
async def main():
    async with await start_hl7_server(serve, "127.0.0.1", int(sys.argv[1]), limit=1 << 26, encoding="utf-8") as server:
        await server.serve_forever()
asyncio.run(main())
`;

/** It stops answering on connections that go on for long: these get new ones after so many messages. */
const messagesAtOnce: Partial<Record<PeerName, number>> = { "node-hl7-server": 160 };

const ofNpm = (name: PeerName, make: Make): Side => ({
  name,
  remark: messagesAtOnce[name] ? "keeps nothing; new connections, since it drops long ones" : "keeps nothing",
  start: async () => {
    const { PEER = "" } = await ports(["PEER"]);
    try {
      const { pid, stop } = await startPeer(process.execPath, [join(root, "mllp-peers.ts"), name, PEER], Number(PEER));
      return { pid, stop, run: timed(make, Number(PEER), messagesAtOnce[name]) };
    } catch {
      return { missing: `${name} is not installed` };
    }
  },
});

const timed = (make: Make, port: number, atOnce?: number) => async (units: number) => {
  const items = make(units);
  const started = performance.now();
  for (let at = 0; at < units; at += atOnce ?? units)
    await sendMessages(items.slice(at, at + (atOnce ?? units)), port, connections);
  return { units, seconds: (performance.now() - started) / 1000 };
};

const pythonHl7 = (make: Make): Side => ({
  name: "python3-hl7",
  remark: "keeps nothing",
  start: async () => {
    const reason = missing("python3:hl7");
    if (reason) return { missing: reason };
    const file = join(fresh("hl7"), "server.py");
    writeFileSync(file, script);
    const { PEER = "" } = await ports(["PEER"]);
    const { pid, stop } = await startPeer("/usr/bin/python3", [file, PEER], Number(PEER));
    return { pid, stop, run: timed(make, Number(PEER)) };
  },
});
