/** node-hl7-client as a peer: it sends to us and reads our acknowledgements, and what we send. */

import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { Client, Message } from "node-hl7-client";
import { afterEach, expect, test } from "vitest";
import type { Outcome } from "../../connectors/connector.ts";
import { frameOf, openFramer } from "../../connectors/mllp/framer.ts";
import { mllpDestination, mllpSource } from "../../connectors/mllp/index.ts";
import { buildAck, readMsh } from "../../formats/hl7.ts";
import { documents, mdmFor } from "../fixtures/documents.ts";
import { until } from "../sites.ts";

const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});
const context = { log: () => undefined, signal: new AbortController().signal };

test("it sends to us, one message after the other, and reads each acknowledgement", async () => {
  const seen: string[] = [];
  const source = await mllpSource.listen(
    mllpSource.options.parse({ port: 0 }),
    async ({ controlId }) => {
      seen.push(controlId);
      return {
        duplicate: false,
        answer: Promise.resolve(
          controlId === "N2" ? { accepted: false, code: "CDA_INVALID", reason: "line 3 | x" } : { accepted: true },
        ),
      };
    },
    context,
  );
  stops.push(() => source.stop());
  const client = new Client({ host: "127.0.0.1", version: "2.5.1" });
  const told: string[] = [];
  const connection = client.createConnection(
    { port: Number(source.address.split(":")[1]), version: "2.5.1" },
    async (answer) => {
      const ack = answer.getMessage();
      told.push(["MSA.1", "MSA.2"].map((path) => ack.get(path).toString()).join(" "));
    },
  );
  stops.push(() => connection.close());
  for (const id of ["N1", "N2", "N3"]) {
    const text = `MSH|^~\\&|HIS|A|SEMRS|A|20260102030405||ADT^A01^ADT_A01|${id}|P|2.5.1\rEVN|A01|20260102\rPID|1||P1^^^MOI||TEST\r`;
    await connection.sendMessage(new Message({ text }));
    await until("its acknowledgement", () => told.length === seen.length && seen.includes(id));
  }
  expect(seen).toEqual(["N1", "N2", "N3"]);
  expect(told).toEqual(["AA N1", "AE N2", "AA N3"]);
});

test("it reads what we send and what it makes of it acknowledges ours", async () => {
  const read: string[] = [];
  const server = createServer((socket) => {
    const framer = openFramer(1e7);
    socket.on("error", () => undefined);
    socket.on("data", (chunk: Buffer) => {
      for (const frame of framer.push(chunk)) {
        if (frame.kind !== "message") continue;
        const message = new Message({ text: Buffer.from(frame.bytes).toString("utf8") });
        read.push(["MSH.9.1", "MSH.10", "OBX.2"].map((path) => message.get(path).toString()).join(" "));
        const text = `MSH|^~\\&|HIS|B|SEMRS|B|20260102||ACK^T02^ACK|X1|P|2.5.1\rMSA|AA|${message.get("MSH.10").toString()}\r`;
        socket.write(frameOf(Buffer.from(new Message({ text }).toString())));
      }
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  stops.push(() => server.close());
  const bytes = mdmFor(documents["116"], { controlId: "M7" });
  let outcome: Outcome | undefined;
  await mllpDestination.send(
    mllpDestination.options.parse({ host: "127.0.0.1", port: (server.address() as AddressInfo).port }),
    one({ controlId: "M7", size: bytes.length, body: () => one(bytes) }),
    (_item, said) => (outcome = said),
    context,
  );
  expect(outcome).toEqual({ state: "delivered", detail: "AA" });
  expect(read).toEqual(["MDM M7 ED"]);
});

test("every kind of acknowledgement of ours is a message to it", () => {
  const facts = readMsh(mdmFor(documents["113"], { controlId: "ID 7" }));
  for (const code of ["AA", "AE", "AR", "CA", "CE", "CR"] as const) {
    const errors = code.endsWith("A") ? [] : [{ code: "207", text: "a | b ^ c" }];
    const ack = new Message({
      text: Buffer.from(buildAck(facts, { code, controlId: "O1", now: new Date(), errors })).toString(),
    });
    expect([ack.get("MSA.1").toString(), ack.get("MSA.2").toString()]).toEqual([code, "ID 7"]);
  }
});

async function* one<T>(value: T): AsyncGenerator<T> {
  yield value;
}
