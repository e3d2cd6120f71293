/** A night batch of 50,000 messages in one file (BHS, BTS), and the live feed beside it: what the feed's own side waits for its answers. */
import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout as wait } from "node:timers/promises";
import { frameOf, openFramer } from "../../connectors/mllp/framer.ts";
import { mllpDestination } from "../../connectors/mllp/index.ts";
import type { Done, Side, Workload } from "../harness.ts";
import { adtMessages } from "../load.ts";
import { startExchange } from "../subjects.ts";

/** Live messages: one each, on a connection of their own. */
const everyMs = 20;
const connections = 4;

export const nightBatch = (): readonly Workload[] => [
  {
    name: "live ADT, 200 a second on 4 connections, alone: 1 / p99 of the answer (50 is 20 ms)",
    unit: "1/s",
    target: { rate: 50 },
    units: 4_000,
    quick: 400,
    ours: live((units) => wait((units / connections) * everyMs)),
    peers: [],
  },
  {
    name: "the same beside a night batch of 50,000 in one file: 1 / p99 of the answer (50 is 20 ms)",
    unit: "1/s",
    target: { rate: 50 },
    units: 50_000,
    quick: 2_000,
    ours: live(batchOf),
    peers: [],
  },
];

/** Live messages are sent for as long as `during` takes; each answer is timed by the one who waits for it. */
const live = (during: (units: number, port: number) => Promise<unknown>): Side => ({
  name: "semrs",
  start: async () => {
    const exchange = await startExchange({ ANSWER: "stored" });
    const { pid, mllp } = exchange.ready["hospital-a"];
    const port = Number(mllp.split(":")[1]);
    return {
      pid,
      stop: exchange.stop,
      run: async (units): Promise<Done> => {
        let isOver = false;
        const over = during(units, port).finally(() => {
          isOver = true;
        });
        const times: number[] = [];
        await Promise.all(Array.from({ length: connections }, () => feed(port, () => isOver, times)));
        await over;
        times.sort((one, other) => one - other);
        return { units: 1, seconds: (times[Math.floor(times.length * 0.99)] ?? 0) / 1000 };
      },
    };
  },
});

/** One after the other on one connection, each at its time or as soon as the one before is answered. */
async function feed(port: number, isOver: () => boolean, times: number[]): Promise<void> {
  const options = mllpDestination.options.parse({ host: "127.0.0.1", port });
  const context = { log: () => undefined, signal: new AbortController().signal };
  let sent = 0;
  async function* messages() {
    while (!isOver()) {
      await wait(everyMs);
      sent = performance.now();
      yield* adtMessages(1);
    }
  }
  const told = (_item: unknown, { state }: { readonly state: string }): void => {
    if (state !== "delivered") throw new Error(`a live message was ${state}`);
    times.push(performance.now() - sent);
  };
  await mllpDestination.send(options, messages(), told, context);
}

/** One frame with all of them; ends once each is acknowledged in the batch that answers it. */
async function batchOf(units: number, port: number): Promise<void> {
  const parts: Uint8Array[] = [Buffer.from("BHS|^~\\&|HIS|HOSPA|SEMRS|HOSPA|20260116||NIGHT||NIGHT1\r")];
  for (const item of adtMessages(units)) for await (const part of item.body()) parts.push(part);
  parts.push(Buffer.from(`BTS|${units}\r`));
  const socket = connect(port, "127.0.0.1");
  await once(socket, "connect");
  const framer = openFramer(256 * units + 1024 * 1024);
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
  socket.on("error", reject).on("close", () => reject(new Error("the batch was not answered")));
  socket.on("data", (chunk: Buffer) => {
    for (const frame of framer.push(chunk)) if (frame.kind === "message") resolve(frame.bytes);
  });
  socket.write(frameOf(Buffer.concat(parts)));
  const answer = Buffer.from(await promise).toString("latin1");
  socket.removeAllListeners("close").destroy();
  const accepted = answer.split("MSA|AA|").length - 1;
  if (accepted !== units) throw new Error(`${accepted} of ${units} messages of the batch were acknowledged`);
}
