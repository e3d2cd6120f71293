/** A clear port on which strangers hold connections: who has never sent anything that was accepted goes for who comes. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { expect, test } from "vitest";
import { openBudget } from "../../connectors/mllp/budget.ts";
import { until } from "../sites.ts";
import {
  accepting,
  codes,
  framed,
  listening,
  message,
  refusing,
  stopAfterEach,
  stops,
  talk,
} from "./mllp-listening.ts";

stopAfterEach();

async function stranger(port: number, localAddress = "127.0.0.2"): Promise<Socket> {
  const socket = connect({ port, host: "127.0.0.1", localAddress })
    .on("error", () => undefined)
    .resume();
  stops.push(() => socket.destroy());
  await once(socket, "connect");
  return socket;
}
/** A connection on which something was accepted. */
async function known(port: number, controlId: string) {
  const his = await talk(port);
  his.socket.write(framed(message(controlId)));
  await until("it is answered", () => his.back() !== "");
  expect(codes(his.back())).toEqual([`AA ${controlId}`]);
  return his;
}

test("strangers of many addresses hold all of maxConnections: a HIS is served, and the oldest of them goes", async () => {
  const { port, log } = await listening(accepting, { maxConnections: 3 });
  const strangers: Socket[] = [];
  for (const address of ["127.0.0.2", "127.0.0.3", "127.0.0.4"]) strangers.push(await stranger(port, address));
  await known(port, "M1");
  await until("the oldest is gone", () => strangers[0]?.closed === true);
  expect([strangers.map(({ closed }) => closed), log]).toEqual([[true, false, false], ["mllp.crowded"]]);
});

test("who has sent what was accepted stays; so does who is in the midst of a message", async () => {
  const { port, log } = await listening(accepting, { maxConnections: 2 });
  const his = await known(port, "M1");
  const begun = await stranger(port);
  begun.write(framed(message("M2")).subarray(0, 40));
  // Answered behind it: by then what was begun has been read.
  his.socket.write(framed(message("M3")));
  await until("it is answered", () => codes(his.back()).length === 2);
  const late = await talk(port);
  await once(late.socket, "close");
  expect([codes(late.back()), his.socket.closed, begun.closed, log]).toEqual([["AR "], false, false, ["mllp.refused"]]);
});

test("behind a proxy or a NAT all come from one address: there the oldest stranger goes, too, and none of another address", async () => {
  const { port, log } = await listening(accepting, { maxPerAddress: 2 });
  const other = await stranger(port, "127.0.0.2");
  const [first, second] = [await stranger(port, "127.0.0.1"), await stranger(port, "127.0.0.1")];
  await known(port, "M1");
  await until("the oldest is gone", () => first.closed);
  expect([other.closed, second.closed, log]).toEqual([false, false, ["mllp.crowded"]]);
});

test("who was only ever refused is a stranger still", async () => {
  const { port } = await listening(
    async (arrival) => await (arrival.controlId === "BAD" ? refusing : accepting)(arrival),
    { maxConnections: 1 },
  );
  const stranger = await talk(port);
  stranger.socket.write(framed(message("BAD")));
  await until("it is refused", () => codes(stranger.back()).length === 1);
  await known(port, "M1");
  await until("the stranger is gone", () => stranger.socket.closed);
  expect(codes(stranger.back())).toEqual(["AE BAD", "AR "]);
});

test("strangers without end take no memory that a HIS needs", async () => {
  const held = openBudget(1_000_000);
  const { port } = await listening(accepting, { maxHeldBytes: 64 * 1024 * 1024 }, held);
  for (let n = 0; n < 12; n += 1) await stranger(port, `127.0.0.${n + 2}`);
  await known(port, "M1");
});
