/** A HIS that stops reading within a message: once that is given up, nothing of it is kept, or sent after all. */
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { expect, test } from "vitest";
import type { Item, Outcome } from "../../connectors/connector.ts";
import { mllpDestination } from "../../connectors/mllp/index.ts";
import { until } from "../sites.ts";

/** More than the buffers of both systems take. */
const size = 48 * 1024 * 1024;

test("what a HIS did not read of a message that was not answered does not come when it reads on: it is sent again", async () => {
  const sockets: Socket[] = [];
  const server = createServer({ pauseOnConnect: true }, (socket) => void sockets.push(socket)).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const settings = mllpDestination.options.parse({ host: "127.0.0.1", port, responseSeconds: 0.2 });
  const item: Item = {
    controlId: "1",
    size,
    body: async function* () {
      yield Buffer.alloc(size, "x");
    },
  };
  const outcomes: Outcome[] = [];
  const messages = async function* (): AsyncGenerator<Item> {
    yield item;
  };
  const context = { log: () => undefined, signal: new AbortController().signal };
  await mllpDestination.send(settings, messages(), (_, outcome) => outcomes.push(outcome), context);
  expect(outcomes).toMatchObject([{ state: "ambiguous" }]);
  const [socket] = sockets as [Socket];
  let read = 0;
  socket.on("data", (chunk: Buffer) => (read += chunk.length)).on("error", () => undefined);
  socket.resume();
  await until("the connection is closed", () => socket.closed || socket.readableEnded);
  expect(read).toBeLessThan(size);
  socket.destroy();
  server.close();
});
