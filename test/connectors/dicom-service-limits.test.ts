/** What the services of an association take of a peer, and what we ask of one at once: up to each limit, and no further. */
import { describe, expect, test } from "vitest";
import { explicitLittle, implicitLittle } from "../../connectors/dicom/association.ts";
import {
  commitmentInstance,
  openTransactions,
  readCommitmentReport,
  writeCommitmentRequest,
} from "../../connectors/dicom/commitment.ts";
import { readDataSet } from "../../connectors/dicom/data-set.ts";
import { pduTypes } from "../../connectors/dicom/pdu.ts";
import { dicomSource } from "../../connectors/dicom/scp.ts";
import { type DicomItem, dicomDestination } from "../../connectors/dicom/scu.ts";
import { part10Header } from "../../formats/dicom.ts";
import { associated, command, ct, pdv, type ScriptedPeer } from "../dicom-peer.ts";
import { ctStudy } from "../fixtures/dicom.ts";
import { until } from "../sites.ts";
import { context, each, itemOf, settings, stopAfterEach, stops } from "./dicom-listening.ts";
import { scriptedPacs } from "./scripted-pacs.ts";

stopAfterEach();

const commitmentClass = "1.2.840.10008.1.20.1";
const read = (bytes: Buffer) => readDataSet(bytes, implicitLittle, new Set([0x00081199]));
const told = (message: RegExp, code = "DICOM_INVALID") =>
  expect.objectContaining({ code, message: expect.stringMatching(message) });

describe("a data set of a service", () => {
  /** So many elements without a value, in order. */
  const elements = (count: number): Buffer => {
    const bytes = Buffer.alloc(count * 8);
    for (let n = 0; n < count; n += 1) {
      bytes.writeUInt16LE(0x0009 + 2 * Math.floor(n / 60_000), n * 8);
      bytes.writeUInt16LE(1 + (n % 60_000), n * 8 + 2);
    }
    return bytes;
  };
  /** A sequence within an item of a sequence, so many times. */
  const nested = (depth: number): Buffer => {
    let inner = Buffer.alloc(0);
    for (let n = 0; n < depth; n += 1) {
      const head = Buffer.from("0800991100000000feff00e000000000", "hex");
      head.writeUInt32LE(inner.length + 8, 4);
      head.writeUInt32LE(inner.length, 12);
      inner = Buffer.concat([head, inner]);
    }
    return inner;
  };

  test("has 400,000 elements at most", () => {
    expect(read(elements(400_000)).size).toBe(400_000);
    expect(() => read(elements(400_001))).toThrow(told(/more than 400000 elements/));
  });
  test("is nested four deep at most", () => {
    expect(read(nested(4)).size).toBe(1);
    expect(() => read(nested(5))).toThrow(told(/nested deeper than 4/));
  });
  test("has 16 MiB at most", () => {
    const value = (length: number): Buffer => {
      const head = Buffer.from("0900100000000000", "hex");
      head.writeUInt32LE(length, 4);
      return Buffer.concat([head, Buffer.alloc(length)]);
    };
    expect(read(value(2 ** 24 - 8)).size).toBe(1);
    expect(() => read(value(2 ** 24 - 7))).toThrow(told(/over 16777216 octets/));
  });
});

test("10,000 commitments that we have asked for may be without a report", async () => {
  const { expect: wait, settle } = openTransactions();
  const waiting = Array.from({ length: 10_000 }, (_, n) => wait(`1.2.${n}`, 60_000));
  await expect(wait("1.2.10000", 60_000)).rejects.toEqual(told(/more than 10000/, "TOO_LARGE"));
  const failed = [{ sopClassUid: ct, sopInstanceUid: "1.2.3", reason: 0x0112 }];
  for (let n = 0; n < waiting.length; n += 1) settle({ transactionUid: `1.2.${n}`, committed: [], failed });
  expect(new Set((await Promise.all(waiting)).map((each) => each?.size))).toEqual(new Set([1]));
});

test("25,000 instances are sent at once at most", async () => {
  const item = itemOf(ctStudy({ instancesPerSeries: 1 })[0]?.bytes ?? new Uint8Array());
  async function* items(): AsyncGenerator<DicomItem> {
    for (let n = 0; n <= 25_000; n += 1) yield item;
  }
  // Nobody listens there: it is not even called.
  const sending = dicomDestination.send(settings(1), items(), () => undefined, context);
  await expect(sending).rejects.toEqual(told(/more than 25000/, "TOO_LARGE"));
});

test("130 SOP classes go on two associations, of 128 presentation contexts at most", async () => {
  const pacs = await scriptedPacs();
  stops.push(pacs.stop);
  const classes = Array.from({ length: 130 }, (_, n) => `1.2.826.0.1.${n + 1}`);
  const items = classes.map((sopClassUid, n): DicomItem => {
    const bytes = Buffer.concat([part10Header(sopClassUid, `1.2.3.${n}`, explicitLittle), Buffer.alloc(8, n)]);
    const facts = { controlId: `1.2.3.${n}`, size: bytes.length, sopClassUid, transferSyntaxUid: explicitLittle };
    return { ...facts, body: () => each([bytes]) };
  });
  const states: string[] = [];
  await dicomDestination.send(settings(pacs.port), each(items), (_item, { state }) => states.push(state), context);
  expect(states).toEqual(classes.map(() => "delivered"));
  expect(pacs.requests.map(({ contexts }) => contexts.length)).toEqual([128, 2]);
  expect(new Set(pacs.stored).size).toBe(130);
});

describe("on an association of a peer", () => {
  const ask = (peer: ScriptedPeer, dataSet: readonly Uint8Array[]): void =>
    peer.send(
      command(
        1,
        [0x0003, commitmentClass],
        [0x0100, 0x0130],
        [0x0110, 9],
        [0x0800, 0],
        [0x1001, commitmentInstance],
        [0x1008, 1],
      ),
      ...dataSet,
    );
  const opened = async (): Promise<{ peer: ScriptedPeer; log: string[] }> => {
    const log: string[] = [];
    const source = await dicomSource.listen(
      dicomSource.options.parse({ port: 0, aeTitle: "SEMRS_A" }),
      () => Promise.reject(new Error("nothing is stored here")),
      {
        ...context,
        log: (event) => void log.push(event),
        commit: async ({ references }) => references.map(() => null),
      },
    );
    const contexts = [{ id: 1, abstractSyntax: commitmentClass, transferSyntaxes: [explicitLittle] }];
    const peer = await associated(Number(source.address.split(":")[1]), contexts);
    stops.push(source.stop, () => peer.socket.destroy());
    return { peer, log };
  };

  test("a data set of over 16 MiB is aborted before its end", async () => {
    const { peer } = await opened();
    ask(
      peer,
      Array.from({ length: 257 }, (_, n) => pdv(1, false, n === 256, Buffer.alloc(65_536))),
    );
    expect(await peer.next()).toMatchObject({ type: pduTypes.abort });
  });

  test("sixteen reports wait for their answers at most; the next has nowhere to go", async () => {
    const { peer, log } = await opened();
    const reported = new Set<string>();
    for (let n = 1; n <= 17; n += 1) {
      const asked = { transactionUid: `1.2.${n}`, references: [{ sopClassUid: ct, sopInstanceUid: "1.2.3" }] };
      ask(peer, [pdv(1, false, true, writeCommitmentRequest(asked, explicitLittle))]);
      expect((await peer.message()).command.get(0x900)).toBe(0);
      if (n > 16) continue;
      reported.add(readCommitmentReport((await peer.message()).dataSet, explicitLittle).transactionUid);
    }
    await until("the last one has nowhere to go", () => log.includes("commitment.unreported"));
    expect(reported.size).toBe(16);
  });
});
