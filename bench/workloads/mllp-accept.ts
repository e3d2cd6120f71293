/** Messages in: acknowledged by ours after fsync, by python3-hl7 out of memory. */
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ports } from "../../commands/demo/sites.ts";
import type { Item } from "../../connectors/connector.ts";
import type { Side, Workload } from "../harness.ts";
import { adtMessages, documentMessages, sendMessages } from "../load.ts";
import { counted, missing, startExchange, startPeer } from "../subjects.ts";

const connections = 8;

export const mllpAccept = (): readonly Workload[] => [
  {
    name: "ADT of 1 KB in, acknowledged after fsync (answer: stored), 8 connections",
    unit: "messages/s",
    target: { rate: 5_000, cpuMs: 0.2 },
    units: 4_000,
    quick: 800,
    ours: ours(adtMessages, "stored"),
    peers: [pythonHl7(adtMessages)],
  },
  {
    name: "MDM^T02 with a 30 KB CDA in, acknowledged after fsync (answer: stored), 8 connections",
    unit: "messages/s",
    target: { rate: 2_000 },
    units: 600,
    quick: 200,
    ours: ours(documentMessages, "stored"),
    peers: [pythonHl7(documentMessages)],
  },
  {
    name: "the same, acknowledged after validation (answer: validated)",
    unit: "messages/s",
    units: 600,
    quick: 200,
    ours: ours(documentMessages, "validated"),
    peers: [],
  },
];

type Make = (count: number) => readonly Item[];

/** The ledger is the house's own: as many arrivals more as were sent. */
const ours = (make: Make, answer: "stored" | "validated"): Side => ({
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
        await sendMessages(items, Number(mllp.split(":")[1]), connections);
        const seconds = (performance.now() - started) / 1000;
        await counted("arrivals", before + units, arrivals);
        await idle(exchange.a);
        return { units, seconds };
      },
    };
  },
});

/** What follows the acknowledgement is over before the next run begins. */
async function idle(admin: Awaited<ReturnType<typeof startExchange>>["a"]): Promise<void> {
  await counted("idle", 1, async () => {
    const { deliveries, records, items } = await admin.get<Record<string, Record<string, number>>>("/counts");
    return (deliveries?.queued ?? 0) + (deliveries?.inflight ?? 0) + (records?.stored ?? 0) + (items?.waiting ?? 0) ===
      0
      ? 1
      : 0;
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

const pythonHl7 = (make: Make): Side => ({
  name: "python3-hl7",
  remark: "keeps nothing",
  start: async () => {
    const reason = missing("python3:hl7");
    if (reason) return { missing: reason };
    const file = join(mkdtempSync(join(tmpdir(), "semrs-bench-hl7-")), "server.py");
    writeFileSync(file, script);
    const { PEER = "" } = await ports(["PEER"]);
    const { pid, stop } = await startPeer("/usr/bin/python3", [file, PEER], Number(PEER));
    return {
      pid,
      stop,
      run: async (units) => {
        const items = make(units);
        const started = performance.now();
        await sendMessages(items, Number(PEER), connections);
        return { units, seconds: (performance.now() - started) / 1000 };
      },
    };
  },
});
