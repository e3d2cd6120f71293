/** A peer that asks and does not read what it is answered: it keeps neither the connection nor what the answer is read from. */
import { once } from "node:events";
import { createServer } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { afterEach, expect, test } from "vitest";
import { sendBody } from "../../exchange/outgoing.ts";

const mebibyte = 1024 * 1024;
const left: (() => void)[] = [];
afterEach(() => {
  for (const leave of left.splice(0)) leave();
});

/** Whether the body was let go of when an answer without an end was asked for by this reader. */
async function letGo(read: (socket: Socket) => void): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  async function* endless(): AsyncGenerator<Uint8Array> {
    try {
      while (true) yield new Uint8Array(mebibyte);
    } finally {
      resolve(true);
    }
  }
  const server = createServer((_request, response) => {
    sendBody(endless(), response, { bytes: mebibyte, ms: 300 }).catch(() => undefined);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
  left.push(() => {
    socket.destroy();
    server.close();
  });
  socket.on("error", () => undefined).write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  read(socket);
  return await promise;
}

test("one that reads nothing", async () => {
  expect(await letGo((socket) => socket.pause())).toBe(true);
});

test("one that reads a little now and then", async () => {
  const read = (socket: Socket): void => {
    socket.pause();
    const sip = setInterval(() => socket.read(1024), 50);
    left.push(() => clearInterval(sip));
  };
  expect(await letGo(read)).toBe(true);
});
