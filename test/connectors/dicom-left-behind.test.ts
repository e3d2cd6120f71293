/** What peers leave behind that go in the middle, do not answer, do not read, or say nothing at length: no body, socket or memory stays. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, test } from "vitest";
import type { Deliver } from "../../connectors/connector.ts";
import { openPduReader, pduTypes, releaseRq, writePdu } from "../../connectors/dicom/pdu.ts";
import { countOf } from "../../connectors/dicom/query.ts";
import { echo } from "../../connectors/dicom/scu.ts";
import { associated, command, ct, echoRq, pdv, storeRq } from "../dicom-peer.ts";
import { until } from "../sites.ts";
import { context, listening, settings, stopAfterEach, stops } from "./dicom-listening.ts";
import { scriptedPacs } from "./scripted-pacs.ts";

stopAfterEach();

test("an association that is released within an instance ends the instance, which fails", async () => {
  let failed: unknown;
  const deliver: Deliver = async ({ body }) => {
    try {
      for await (const _ of body);
    } catch (thrown) {
      failed = thrown;
      throw thrown;
    }
    return { duplicate: false, answer: Promise.resolve({ accepted: true }) };
  };
  const { port } = await listening(deliver);
  const peer = await associated(port);
  peer.send(storeRq("1.2.3"), pdv(1, false, false, Buffer.alloc(1_000)), releaseRq);
  expect((await peer.next())?.type).toBe(pduTypes.releaseRp);
  peer.socket.destroy();
  await until("the instance has failed", () => failed !== undefined);
  expect(failed).toMatchObject({ code: "DICOM_INVALID" });
});

test("a PACS that does not answer C-ECHO keeps no connection of ours", async () => {
  let isClosed = false;
  const pacs = await scriptedPacs({
    answer: ({ socket }) => {
      socket.once("end", () => {
        isClosed = true;
      });
      return undefined;
    },
  });
  stops.push(() => pacs.stop());
  await expect(echo(settings(pacs.port, { responseSeconds: 0.1 }), context)).rejects.toMatchObject({
    code: "PEER_UNREACHABLE",
  });
  await until("our end is closed", () => isClosed);
});

test("a peer that asks on without reading its answers is aborted, and told why in the log", async () => {
  const { port, told } = await listening();
  const peer = await associated(port);
  peer.socket.pause();
  const many = Buffer.concat(Array.from({ length: 10_000 }, () => echoRq()));
  // Both kernels hold some megabytes; a listener without a limit takes all.
  const most = 150_000_000;
  const closed = new Promise<void>((resolve) => void peer.socket.once("close", resolve));
  for (let sent = 0; sent < most && told.length === 0; sent += many.length)
    await Promise.race([closed, new Promise<void>((resolve) => void peer.socket.write(many, () => resolve()))]);
  peer.socket.destroy();
  expect(told).toEqual([expect.stringMatching(/^dicom.aborted DICOM_INVALID: it does not read its answers/)]);
});

describe("what comes in pieces takes the memory of its octets, not of its pieces", () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const held = (): number => {
    collect();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  };
  const queryRq = command(1, [2, ct], [0x100, 0x20], [0x110, 6], [0x700, 0], [0x800, 0]);
  test.each<readonly [string, Uint8Array, Uint8Array]>([
    ["a command in empty ones", Buffer.alloc(0), pdv(1, true, false, Buffer.alloc(0))],
    ["a data set in empty ones", queryRq, pdv(1, false, false, Buffer.alloc(0))],
    ["a data set in octets", queryRq, pdv(1, false, false, Buffer.alloc(1))],
  ])("%s", async (_what, first, piece) => {
    const { port } = await listening();
    const peer = await associated(port);
    const many = Buffer.alloc(piece.length * 10_000, piece);
    const before = held();
    peer.send(first);
    // Both kernels hold half of them at most.
    for (let n = 0; n < 100; n += 1) await new Promise((resolve) => peer.socket.write(many, resolve));
    expect((held() - before) / 1_000_000).toBeLessThan(20);
    peer.socket.destroy();
  });

  test("a control PDU in octets", () => {
    const read = openPduReader(16_384, { control: () => undefined, fragment: () => undefined });
    const before = held();
    read(writePdu(pduTypes.associateRq, Buffer.alloc(2 ** 20)).subarray(0, 6));
    for (let n = 0; n < 2 ** 20 - 1; n += 1) read(Buffer.alloc(1));
    expect((held() - before) / 1_000_000).toBeLessThan(20);
    expect(read(Buffer.alloc(1))).toBe(false);
  });
});

test("a PACS that hangs within C-FIND keeps no connection of ours", async () => {
  const pacs = await scriptedPacs({ isDeaf: true });
  stops.push(() => pacs.stop());
  const open = (): number => process.getActiveResourcesInfo().filter((kind) => kind === "TCPSocketWrap").length;
  const before = open();
  const peer = settings(pacs.port, { responseSeconds: 0.1 });
  await expect(countOf(peer, "1.2.3", context.signal)).rejects.toMatchObject({ code: "PEER_UNREACHABLE" });
  // What is left is the end of the PACS, which is in this process.
  await until("our end is closed", () => open() <= before + 1);
});
