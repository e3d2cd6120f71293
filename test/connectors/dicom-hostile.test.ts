/** Peers that break the upper layer in every way we know: the association ends, the next C-ECHO works, nothing is left in memory. */
import { once } from "node:events";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Deliver, Running } from "../../connectors/connector.ts";
import { writeCommand } from "../../connectors/dicom/dimse.ts";
import { openBudget, openFlow } from "../../connectors/dicom/flow.ts";
import { pduTypes, releaseRq, writePdu } from "../../connectors/dicom/pdu.ts";
import { dicomSource } from "../../connectors/dicom/scp.ts";
import { associated, associateRq, ct, dial, echoRq, explicitLittle, pdv, storeRq } from "../dicom-peer.ts";

const kept = new Map<string, Buffer>();
/** A disk that takes its time: it looks at one chunk a turn of the loop. */
const deliver: Deliver = async ({ body, controlId }) => {
  const pieces: Uint8Array[] = [];
  for await (const piece of body) {
    pieces.push(Uint8Array.from(piece));
    await new Promise((resolve) => setImmediate(resolve));
  }
  kept.set(controlId, Buffer.concat(pieces));
  return { duplicate: false, answer: Promise.resolve({ accepted: true }) };
};
let source: Running;
let port = 0;
beforeAll(async () => {
  // Patience is short here, so that a peer that only waits is done with soon.
  const settings = dicomSource.options.parse({ port: 0, aeTitle: "SEMRS_A", artimSeconds: 0.1, idleSeconds: 0.2 });
  source = await dicomSource.listen(settings, deliver, { log: () => undefined, signal: new AbortController().signal });
  port = Number(source.address.split(":")[1]);
});
afterAll(() => source.stop());

const head = (type: number, length: number): Buffer => {
  const bytes = Buffer.from([type, 0, 0, 0, 0, 0]);
  bytes.writeUInt32BE(length, 2);
  return bytes;
};
const item = (type: number, body: Uint8Array): Buffer => {
  const bytes = Buffer.from([type, 0, 0, 0]);
  bytes.writeUInt16BE(body.length, 2);
  return Buffer.concat([bytes, body]);
};
const ids = (list: readonly number[]) =>
  list.map((id) => ({ id, abstractSyntax: ct, transferSyntaxes: [explicitLittle] }));
const many = (count: number): Buffer => associateRq(ids(Array.from({ length: count }, (_, n) => (n * 2 + 1) & 255)));
/** An association request whose octets are changed, its length with them. */
const changed = (change: (body: Buffer) => Buffer): Buffer =>
  writePdu(pduTypes.associateRq, change(Buffer.from(associateRq().subarray(6))));
const maxPdu = (size: number): Buffer =>
  changed((body) => {
    const at = body.indexOf(Buffer.from([0x51, 0, 0, 4]));
    body.writeUInt32BE(size, at + 4);
    return body;
  });
const echo = writeCommand([
  [2, "1.2.840.10008.1.1"],
  [0x100, 0x30],
  [0x110, 1],
  [0x800, 0x101],
]);
const echoAnswer = [
  [2, "1.2.840.10008.1.1"],
  [0x100, 0x8030],
  [0x120, 7],
  [0x800, 0x101],
  [0x900, 0],
] as const;
const lying = Buffer.from(echo);
lying.writeUInt32LE(0xffff_fff0, 8);
const noise = Buffer.from(Array.from({ length: 5000 }, (_, n) => (n * 7919 + (n >>> 3) * 104_729) & 255));

/** What is sent, and whether it breaks the protocol (else the peer is only silent after it). */
const hostile: Readonly<Record<string, readonly Uint8Array[]>> = {
  "no octets": [],
  "a web browser": [Buffer.from("GET / HTTP/1.1\r\n\r\n")],
  "an unknown PDU type": [writePdu(0x77, Buffer.from("abcd"))],
  "an association request of 4 GB": [head(1, 0xffff_ffff)],
  "an association request of 1 GiB": [head(1, 2 ** 30), Buffer.alloc(100_000)],
  "half an association request": [associateRq().subarray(0, 50)],
  "P-DATA before an association": [echoRq()],
  "129 presentation contexts": [many(129)],
  "2,400 presentation contexts": [many(2_400)],
  "an item past the end": [changed((body) => Buffer.concat([body, Buffer.from([0x20, 0, 0xff, 0xff])]))],
  "a user item past the end": [changed((body) => Buffer.concat([body, item(0x50, Buffer.from([0x51, 0, 0, 9, 0]))]))],
  "65 transfer syntaxes": [
    associateRq([{ id: 1, abstractSyntax: ct, transferSyntaxes: Array.from({ length: 65 }, (_, n) => `1.2.${n}`) }]),
  ],
  "a largest PDU of 1": [maxPdu(1), echoRq()],
  "a largest PDU of 0": [maxPdu(0), echoRq()],
  "a release before an association": [releaseRq],
  "a PDV of 4 GB": [associateRq(), head(4, 12), Buffer.from("ffffffff0103414141414141", "hex")],
  "a PDV of one octet": [associateRq(), head(4, 6), Buffer.from("000000010103", "hex")],
  "P-DATA of 4 GB": [associateRq(), head(4, 0xffff_ffff), Buffer.alloc(5000, 65)],
  "P-DATA of nothing": [associateRq(), head(4, 0)],
  "octets behind the last PDV": [associateRq(), head(4, 10), Buffer.from("00000002010300000000", "hex")],
  "an unknown context": [associateRq(), pdv(99, true, true, echo)],
  "a command group length that lies, then silence": [associateRq(), pdv(1, true, true, lying)],
  "a command element of 4 GB": [associateRq(), pdv(1, true, true, Buffer.from("00000200ffffffff78", "hex"))],
  "a command without end": [
    associateRq(),
    ...Array.from({ length: 600 }, () => pdv(1, true, false, Buffer.alloc(16_000))),
  ],
  "a command within a data set": [associateRq(), storeRq("1.2.3"), pdv(1, false, false, Buffer.alloc(10)), echoRq()],
  "a data set without a command": [associateRq(), pdv(1, false, true, Buffer.alloc(10))],
  "half an instance": [associateRq(), storeRq("1.2.3"), pdv(1, false, false, Buffer.alloc(1000))],
  "a response to nothing": [
    associateRq(),
    pdv(
      1,
      true,
      true,
      writeCommand([
        [0x100, 0x8001],
        [0x800, 0x101],
        [0x900, 0],
      ]),
    ),
  ],
  "two association requests": [associateRq(), associateRq()],
  noise: [noise],
  "noise in an association": [associateRq(), noise],
};

const echoed = async (): Promise<void> => {
  const peer = await associated(port);
  peer.send(echoRq());
  expect((await peer.message()).command.get(0x900)).toBe(0);
  peer.socket.destroy();
};

describe("is ended by us, and the next C-ECHO works", () => {
  test.each(Object.entries(hostile))("%s", async (_name, pdus) => {
    const peer = await dial(port);
    peer.send(...pdus);
    await peer.closed();
    peer.socket.destroy();
    await echoed();
  });

  test("1,000 rounds of it leave nothing in memory", async () => {
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as () => void;
    const cases = Object.values(hostile).filter((pdus) => pdus.length < 100);
    const rounds = async (count: number): Promise<number> => {
      for (let n = 0; n < count; n += 1) {
        const peer = await dial(port);
        peer.send(...(cases[n % cases.length] ?? []));
        await peer.next();
        peer.socket.destroy();
        // One that was reset has closed by itself.
        if (!peer.socket.closed) await once(peer.socket, "close");
      }
      // What a buffer held is given back after its owner is collected.
      for (let turn = 0; turn < 3; turn += 1) {
        collect();
        await new Promise((resolve) => setImmediate(resolve));
      }
      const { heapUsed, external } = process.memoryUsage();
      return heapUsed + external;
    };
    const before = await rounds(100);
    const after = await rounds(1_000);
    expect((after - before) / 1_000_000).toBeLessThan(3);
    await echoed();
  }, 120_000);
});

describe("odd but allowed", () => {
  test("context ids in falling order", async () => {
    const peer = await associated(port, ids([3, 1]));
    for (const id of [1, 3]) {
      peer.send(echoRq(id));
      expect((await peer.message()).contextId).toBe(id);
    }
    peer.socket.destroy();
  });

  test("128 presentation contexts", async () => {
    const peer = await associated(port, ids(Array.from({ length: 128 }, (_, n) => n * 2 + 1)));
    peer.send(echoRq(255));
    expect((await peer.message()).contextId).toBe(255);
    peer.socket.destroy();
  });

  test("a command split over PDUs of one octet, and data sets in several PDVs a PDU before a slow disk", async () => {
    const data = Buffer.from(Array.from({ length: 50_000 }, (_, n) => n & 255));
    const command = storeRq("1.2.3.4").subarray(12);
    const inner = (isLast: boolean, bytes: Uint8Array): Buffer => pdv(1, false, isLast, bytes).subarray(6);
    const peer = await associated(port);
    for (const [index, octet] of command.entries())
      peer.send(pdv(1, true, index === command.length - 1, Uint8Array.of(octet)));
    for (let at = 0; at < data.length; at += 10_000) {
      const isLast = at + 10_000 >= data.length;
      const two = [inner(false, data.subarray(at, at + 1)), inner(isLast, data.subarray(at + 1, at + 10_000))];
      peer.send(writePdu(pduTypes.data, Buffer.concat(two)));
    }
    expect((await peer.message()).command.get(0x900)).toBe(0);
    expect(kept.get("1.2.3.4")?.subarray(-data.length).equals(data)).toBe(true);
    peer.socket.destroy();
  });

  test("a command and its whole data set in one PDU, with a C-ECHO behind it", async () => {
    const peer = await associated(port);
    const [data, none] = [Buffer.alloc(10, 7), Buffer.alloc(0)];
    const pdvs = [storeRq("1.2.3.5"), pdv(1, false, false, data), pdv(1, false, true, none)];
    peer.send(writePdu(pduTypes.data, Buffer.concat(pdvs.map((each) => each.subarray(6)))), echoRq());
    expect((await peer.message()).command.get(0x100)).toBe(0x8001);
    expect((await peer.message()).command.get(0x100)).toBe(0x8030);
    expect(kept.get("1.2.3.5")?.subarray(-data.length).equals(data)).toBe(true);
    peer.socket.destroy();
  });

  test("2,000 C-ECHOs on one association are each answered, and eight times as many are eight times the work", async () => {
    const answerBytes = 12 + writeCommand(echoAnswer).length;
    /** CPU time of ours and of the peer, microseconds. */
    const work = async (count: number): Promise<number> => {
      const asked = Buffer.concat(Array.from({ length: count }, () => echoRq()));
      const { socket } = await associated(port);
      let octets = 0;
      const answered = new Promise<void>((resolve) => {
        socket.removeAllListeners("data").on("data", ({ length }: Buffer) => {
          octets += length;
          if (octets === count * answerBytes) resolve();
        });
      });
      const before = process.cpuUsage();
      socket.write(asked);
      await answered;
      const { user, system } = process.cpuUsage(before);
      socket.destroy();
      return user + system;
    };
    await work(2_000);
    const few = Math.min(await work(2_000), await work(2_000));
    const many = Math.min(await work(16_000), await work(16_000));
    // Work that grew with the square of the number would be 64 times as much.
    expect(many / few).toBeLessThan(24);
  });
});

test("the association that an instance came on is named, and ends when the connection does", async () => {
  const arrivals: { id: string; ended: Promise<void> }[] = [];
  const settings = dicomSource.options.parse({ port: 0, aeTitle: "SEMRS_A" });
  const other = await dicomSource.listen(
    settings,
    async ({ body, session }) => {
      if (session) arrivals.push(session);
      for await (const _ of body);
      return { duplicate: false, answer: Promise.resolve({ accepted: true }) };
    },
    { log: () => undefined, signal: new AbortController().signal },
  );
  const at = Number(other.address.split(":")[1]);
  const [one, two] = [await associated(at), await associated(at)];
  for (const peer of [one, two, one]) {
    peer.send(storeRq("1.2.3"), pdv(1, false, true, Buffer.alloc(8)));
    await peer.message();
  }
  const [first, second, third] = arrivals;
  expect(third?.id).toBe(first?.id);
  expect(second?.id).not.toBe(first?.id);
  one.socket.destroy();
  await first?.ended;
  two.socket.destroy();
  await second?.ended;
  await other.stop();
});

test("what waits for the disk is bounded over all associations: beyond the budget one chunk each", async () => {
  const budget = openBudget(100);
  const resumed: number[] = [];
  const flows = [0, 1].map((n) => openFlow(1_000, () => void resumed.push(n), budget));
  const [one, two] = flows;
  const chunk = Buffer.alloc(60);
  expect([one?.push(chunk), two?.push(chunk), two?.push(chunk)]).toEqual([true, false, false]);
  expect(budget.isSpent()).toBe(true);
  // The first one may go on, and its reader waits for more to come.
  one?.discard();
  const reader = two?.body[Symbol.asyncIterator]();
  expect((await reader?.next())?.value).toHaveLength(120);
  expect(resumed).toEqual([1]);
  expect(budget.isSpent()).toBe(false);
});

test("a body that is discarded before its end never looks whole", async () => {
  const budget = openBudget(100);
  const flow = openFlow(1_000, () => undefined, budget);
  flow.push(Buffer.alloc(100));
  const reader = flow.body[Symbol.asyncIterator]();
  expect((await reader.next()).value).toHaveLength(100);
  flow.push(Buffer.alloc(30));
  flow.discard();
  await expect(reader.next()).rejects.toThrow("discarded");
  flow.end();
  await expect(reader.next()).rejects.toThrow("discarded");
});
