/** A HIS that takes everything at once: acknowledges each message, and knows in which order those of each patient came. */
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { frameOf, openFramer } from "../connectors/mllp/framer.ts";

export type Sink = {
  readonly port: number;
  /** Control ids by patient (PID-3), in the order they came. */
  readonly received: ReadonlyMap<string, readonly string[]>;
  count(): number;
  /** Resolves once so many have come; `when` is the time of that one, and `first` of the first one after this was asked. */
  reached(count: number): Promise<{ readonly first: number; readonly when: number }>;
  stop(): Promise<void>;
};

const maxBytes = 1024 * 1024;

export async function openSink(): Promise<Sink> {
  const received = new Map<string, string[]>();
  const sockets = new Set<Socket>();
  let count = 0;
  let wanted:
    | { readonly count: number; first: number; resolve(times: { first: number; when: number }): void }
    | undefined;
  const take = (bytes: Uint8Array): Uint8Array => {
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, 2048)).toString("latin1");
    const controlId = text.split("\r", 1)[0]?.split("|")[9] ?? "";
    const patient = /\rPID\|[^|]*\|[^|]*\|([^|]*)/.exec(text)?.[1] ?? "";
    const of = received.get(patient) ?? [];
    received.set(patient, of);
    of.push(controlId);
    count += 1;
    if (wanted) {
      const now = performance.now();
      wanted.first ||= now;
      if (count >= wanted.count) wanted.resolve({ first: wanted.first, when: now });
    }
    return frameOf(Buffer.from(`MSH|^~\\&|HIS||||||ACK|${controlId}|P|2.5.1\rMSA|AA|${controlId}\r`));
  };
  const server = createServer((socket) => {
    sockets.add(socket);
    const framer = openFramer(maxBytes);
    socket.setNoDelay(true);
    socket.on("error", () => undefined).on("close", () => sockets.delete(socket));
    socket.on("data", (chunk: Buffer) => {
      for (const frame of framer.push(chunk)) if (frame.kind === "message") socket.write(take(frame.bytes));
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    received,
    count: () => count,
    reached: (most) =>
      new Promise((resolve) => {
        wanted = { count: most, first: 0, resolve };
      }),
    stop: async () => {
      for (const socket of sockets) socket.destroy();
      await once(server.close(), "close");
    },
  };
}
