/** What a DICOM peer may send that nobody asked for, and what may wait for it: each limit ends the association, or is answered. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { describe, expect, test } from "vitest";
import type { Outcome } from "../../connectors/connector.ts";
import { commitmentClass } from "../../connectors/dicom/association.ts";
import { commitmentInstance, writeCommitmentRequest } from "../../connectors/dicom/commitment.ts";
import { openOutbox } from "../../connectors/dicom/outbox.ts";
import { openPduReader, pduTypes, writePdu } from "../../connectors/dicom/pdu.ts";
import { dicomSource } from "../../connectors/dicom/scp.ts";
import { dicomDestination } from "../../connectors/dicom/scu.ts";
import { associated, command, ct, explicitLittle, pdv } from "../dicom-peer.ts";
import { ctStudy } from "../fixtures/dicom.ts";
import { context, each, itemOf, settings, stopAfterEach, stops } from "./dicom-listening.ts";
import { respond, scriptedPacs } from "./scripted-pacs.ts";

stopAfterEach();

const reportRq = (dataSetType: number): Buffer =>
  command(1, [2, commitmentClass], [0x100, 0x0100], [0x110, 3], [0x800, dataSetType], [0x1002, 1]);

describe("a PACS that answers an instance only after", () => {
  test.for<readonly [what: string, state: Outcome["state"], make: () => readonly Uint8Array[]]>([
    ["60 requests of its own", "delivered", () => Array.from({ length: 60 }, () => reportRq(0x101))],
    ["65 requests of its own", "ambiguous", () => Array.from({ length: 65 }, () => reportRq(0x101))],
    [
      "a request of over 16 MiB",
      "ambiguous",
      () => [reportRq(0), ...Array.from({ length: 257 }, (_, n) => pdv(1, false, n === 256, Buffer.alloc(65_536)))],
    ],
    [
      "a command of over 64 KiB",
      "ambiguous",
      () => Array.from({ length: 5 }, () => pdv(1, true, false, Buffer.alloc(16_000))),
    ],
    ["P-DATA over what we announced", "ambiguous", () => [pdv(1, true, true, Buffer.alloc(131_072))]],
    ["a control PDU of over 1 MiB", "ambiguous", () => [writePdu(pduTypes.releaseRp, Buffer.alloc(2 ** 20 + 1))]],
    ["an unknown PDU", "ambiguous", () => [writePdu(0x77, Buffer.alloc(4))]],
  ])("%s: %s", async ([, state, make]) => {
    const pacs = await scriptedPacs({
      answer: (asked) => {
        asked.socket.write(Buffer.concat(make()));
        if (asked.field === 1) respond(asked, 0);
        return undefined;
      },
    });
    stops.push(() => pacs.stop());
    const outcomes: Outcome[] = [];
    const one = ctStudy({ instancesPerSeries: 1 }).slice(0, 1);
    const items = each(one.map(({ bytes }) => itemOf(bytes)));
    await dicomDestination
      .send(settings(pacs.port), items, (_item, outcome) => outcomes.push(outcome), context)
      .catch((thrown: unknown) => expect(thrown).toMatchObject({ code: "PEER_UNREACHABLE" }));
    expect(outcomes.map((outcome) => outcome.state)).toEqual([state]);
  });
});

test("1,000 requests for commitment may be without a report; the next is answered 0213", async () => {
  const controller = new AbortController();
  const closed = createServer().listen(0, "127.0.0.1");
  await once(closed, "listening");
  const { port: nowhere } = closed.address() as AddressInfo;
  closed.close();
  const source = await dicomSource.listen(
    dicomSource.options.parse({
      port: 0,
      aeTitle: "SEMRS_A",
      commitmentRetrySeconds: 600,
      callers: [{ commitmentTo: { host: "127.0.0.1", port: nowhere } }],
    }),
    () => Promise.reject(new Error("nothing is stored here")),
    { log: () => undefined, signal: controller.signal, commit: async ({ references }) => references.map(() => null) },
  );
  stops.push(
    () => source.stop(),
    () => controller.abort(),
  );
  const contexts = [{ id: 1, abstractSyntax: commitmentClass, transferSyntaxes: [explicitLittle] }];
  const peer = await associated(Number(source.address.split(":")[1]), contexts);
  const references = [{ sopClassUid: ct, sopInstanceUid: "1.2.3" }];
  const asked = async (n: number): Promise<unknown> => {
    peer.send(
      command(
        1,
        [3, commitmentClass],
        [0x100, 0x0130],
        [0x110, 9],
        [0x800, 0],
        [0x1001, commitmentInstance],
        [0x1008, 1],
      ),
      pdv(1, false, true, writeCommitmentRequest({ transactionUid: `2.25.${n}`, references }, explicitLittle)),
    );
    // Reports come between; nobody answers them.
    for (;;) {
      const { command: set } = await peer.message();
      if (set.get(0x100) === 0x8130) return set.get(0x900);
    }
  };
  for (let n = 1; n <= 1_000; n += 1) expect(await asked(n)).toBe(0);
  expect(await asked(1_001)).toBe(0x0213);
  peer.socket.destroy();
});

test("what is sent goes out as several PDUs a write, of the peer's size each", async () => {
  const pdus: number[] = [];
  let isDone = (): void => undefined;
  const done = new Promise<void>((resolve) => (isDone = resolve));
  const server = createServer((socket) => {
    const read = openPduReader(16_384, {
      control: () => undefined,
      fragment: ({ isCommand, isLast }) => {
        if (!isCommand && isLast) isDone();
      },
    });
    socket.on("data", (chunk: Buffer) => void read(chunk));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const socket: Socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
  await once(socket, "connect");
  stops.push(
    () => server.close(),
    () => socket.destroy(),
  );
  const write = socket.write.bind(socket);
  socket.write = ((bytes: Buffer, told: () => void) => {
    pdus.push(pdusIn(bytes));
    return write(bytes, told);
  }) as typeof socket.write;
  const outbox = openOutbox(socket, 16_384, 60);
  await outbox.send(1, Buffer.alloc(100), each(Array.from({ length: 128 }, () => Buffer.alloc(8_192))));
  await done;
  // A command and 65 PDUs of 16 KiB, a quarter of a mebibyte a write.
  expect(pdus.reduce((sum, count) => sum + count, 0)).toBe(66);
  expect(pdus.length).toBeLessThanOrEqual(6);
  expect(Math.max(...pdus)).toBeGreaterThanOrEqual(15);
});

/** Whole PDUs in octets; fails where they are not whole. */
function pdusIn(bytes: Buffer): number {
  let count = 0;
  for (let at = 0; at < bytes.length; at += 6 + bytes.readUInt32BE(at + 2)) count += 1;
  return count;
}
