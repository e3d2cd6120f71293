/** A plain sender of messages: it costs little beside what is measured, and tells what each answer took. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import type { Item } from "../connectors/connector.ts";
import { frameOf, openFramer } from "../connectors/mllp/framer.ts";

/** Octets of an answer. */
const maxAnswerBytes = 1024 * 1024;
/** As many connections as one address may have. */
const perAddress = 64;

/** Sends on so many connections, one message under way on each; fails unless every one is accepted. `told`: ms of each. */
export const sendMessages = (
  items: readonly Item[],
  port: number,
  connections: number,
  told: (ms: number) => void = () => undefined,
): Promise<void> => sent(items, connections, told, () => ({ host: "127.0.0.1", port }));

/** The same from as many addresses of this machine as so many connections need. */
export const sendFromMany = (items: readonly Item[], port: number, connections: number): Promise<void> =>
  sent(
    items,
    connections,
    () => undefined,
    (connection) => ({
      host: "127.0.0.1",
      port,
      localAddress: `127.0.0.${1 + Math.floor(connection / perAddress)}`,
    }),
  );

/** Sends all on one connection without waiting for answers; ends once every one is accepted. */
export async function sendPipelined(items: readonly Item[], port: number): Promise<void> {
  const { socket, answered } = await connected({ host: "127.0.0.1", port });
  const all = (async () => {
    for (const _ of items) await answered();
  })();
  all.catch(() => undefined);
  for (const item of items) await write(socket, item);
  await all.finally(() => socket.destroy());
}

type To = { readonly host: string; readonly port: number; readonly localAddress?: string };

async function sent(
  items: readonly Item[],
  connections: number,
  told: (ms: number) => void,
  to: (connection: number) => To,
): Promise<void> {
  const send = async (connection: number): Promise<void> => {
    const { socket, answered } = await connected(to(connection));
    try {
      for (let n = connection; n < items.length; n += connections) {
        const before = performance.now();
        await write(socket, items[n] as Item);
        await answered();
        told(performance.now() - before);
      }
    } finally {
      socket.destroy();
    }
  };
  await Promise.all(Array.from({ length: connections }, (_, connection) => send(connection)));
}

/** A connection, and its next answer: it fails unless that accepts, or when the connection ends first. */
async function connected(to: To): Promise<{ readonly socket: Socket; answered(): Promise<void> }> {
  const socket = connect(to);
  socket.setNoDelay(true);
  await once(socket, "connect");
  const framer = openFramer(maxAnswerBytes);
  let [accepted, failure]: [number, Error | undefined] = [0, undefined];
  let wake = (): void => undefined;
  const fail = (cause: Error): void => {
    failure ??= cause;
    wake();
  };
  socket.on("error", fail).on("close", () => fail(new Error("the connection ended before the answer")));
  socket.on("data", (chunk: Buffer) => {
    for (const frame of framer.push(chunk)) {
      if (frame.kind === "message" && Buffer.from(frame.bytes).includes("MSA|AA|")) accepted += 1;
      else fail(new Error("a message was not accepted"));
    }
    wake();
  });
  const answered = async (): Promise<void> => {
    while (accepted === 0) {
      if (failure) throw failure;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    accepted -= 1;
  };
  return { socket, answered };
}

/** In one write. */
async function write(socket: Socket, item: Item): Promise<void> {
  const frame = frameOf(Buffer.concat(await Array.fromAsync(item.body())));
  if (!socket.write(frame)) await once(socket, "drain");
}
