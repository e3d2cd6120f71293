/** DICOM upper layer: peers that break it are aborted, contexts are negotiated, any octets are read or refused. */
import { once } from "node:events";
import { connect } from "node:net";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { negotiate, readAccept, readRequest, writeAccept } from "../../connectors/dicom/association.ts";
import { readCommand, writeCommand } from "../../connectors/dicom/dimse.ts";
import { dataHead, openPduReader, ProtocolError, pduTypes, writePdu } from "../../connectors/dicom/pdu.ts";
import { echo } from "../../connectors/dicom/scu.ts";
import { associated, associateRq, command, ct, dial, echoRq, pdv, storeRq } from "../dicom-peer.ts";
import { context, listening, settings, stopAfterEach } from "./dicom-listening.ts";

stopAfterEach();

describe("peers that break the protocol are aborted, and the next C-ECHO works (PS3.8 9.2)", () => {
  const longHead = (type: number, length: number): Buffer => {
    const head = Buffer.from([type, 0, 0, 0, 0, 0]);
    head.writeUInt32BE(length, 2);
    return head;
  };
  /** Source and reason of the A-ABORT (PS3.8 9.3.8): of the service user before an association, of the provider within. */
  const before = [0, 0];
  const [unrecognized, unexpected, parameter, invalid] = [1, 2, 5, 6].map((reason) => [2, reason]);
  const syntaxes = Array.from({ length: 65 }, (_, n) => `1.2.${n}`);
  const half = pdv(1, true, false, Buffer.alloc(16_000));
  const queryRq = command(1, [2, ct], [0x100, 0x20], [0x110, 6], [0x700, 0], [0x800, 0]);
  test.for([
    ["garbage", before, () => [Buffer.from("GET / HTTP/1.1\r\n\r\n")]],
    ["an unknown PDU type", before, () => [writePdu(9, new Uint8Array(4))]],
    ["a control PDU of 1 GiB", before, () => [longHead(1, 2 ** 30)]],
    ["a control PDU over 1 MiB", before, () => [longHead(1, 2 ** 20 + 1)]],
    ["data before an association", before, () => [dataHead(1, true, true, 4), Buffer.alloc(4)]],
    [
      "129 presentation contexts",
      before,
      () => [
        associateRq(
          Array.from({ length: 129 }, (_, i) => ({
            id: (i * 2 + 1) % 256,
            abstractSyntax: ct,
            transferSyntaxes: ["1.2"],
          })),
        ),
      ],
    ],
    ["an even context id", before, () => [associateRq([{ id: 2, abstractSyntax: ct, transferSyntaxes: ["1.2"] }])]],
    [
      "a context id twice",
      before,
      () => [associateRq([1, 1].map((id) => ({ id, abstractSyntax: ct, transferSyntaxes: ["1.2"] })))],
    ],
    ["no transfer syntax", before, () => [associateRq([{ id: 1, abstractSyntax: ct, transferSyntaxes: [] }])]],
    [
      "65 transfer syntaxes of a context",
      before,
      () => [associateRq([{ id: 1, abstractSyntax: ct, transferSyntaxes: syntaxes }])],
    ],
    ["an unknown PDU type within", unrecognized, () => [associateRq(), writePdu(0x77, new Uint8Array(4))]],
    ["a second association request", unexpected, () => [associateRq(), associateRq()]],
    ["P-DATA over the announced size", invalid, () => [associateRq(), longHead(pduTypes.data, 200_000)]],
    ["a context that was not accepted", invalid, () => [associateRq(), dataHead(5, true, true, 4), Buffer.alloc(4)]],
    [
      "a command set that is none",
      invalid,
      () => [associateRq(), dataHead(1, true, true, 8), Buffer.from([8, 0, 0, 0, 0, 0, 0, 0])],
    ],
    ["a command set over 64 KiB", invalid, () => [associateRq(), ...Array.from({ length: 5 }, () => half)]],
    [
      "a PDV longer than its PDU",
      invalid,
      () => [associateRq(), Buffer.from([4, 0, 0, 0, 0, 10, 0, 0, 0, 200, 1, 3, 0, 0, 0, 0])],
    ],
    [
      "octets behind the last PDV",
      invalid,
      () => [associateRq(), Buffer.from([4, 0, 0, 0, 0, 10, 0, 0, 0, 2, 1, 3, 0, 0, 0, 0])],
    ],
    [
      "a data set of a service over 16 MiB",
      invalid,
      () => [associateRq(), queryRq, ...Array.from({ length: 257 }, () => pdv(1, false, false, Buffer.alloc(65_536)))],
    ],
    ["a data set without its command", parameter, () => [associateRq(), pdv(1, false, true, Buffer.alloc(4))]],
    [
      "a command within a data set",
      parameter,
      () => [associateRq(), storeRq("1.2.3"), pdv(1, false, false, Buffer.alloc(10)), echoRq()],
    ],
    [
      "a response to nothing",
      parameter,
      () => [associateRq(), command(1, [0x100, 0x8001], [0x120, 1], [0x800, 0x101], [0x900, 0])],
    ],
  ] as const)("%s: source and reason %j", async ([, expected, make]) => {
    const { port } = await listening(undefined, { artimSeconds: 0.1 });
    const socket = connect(port, "127.0.0.1");
    const back: Buffer[] = [];
    socket.on("data", (data: Buffer) => back.push(data));
    socket.on("error", () => undefined);
    for (const bytes of make()) socket.write(bytes);
    await once(socket, "end");
    const last = Buffer.concat(back).subarray(-10);
    expect([last[0], [...last.subarray(8)]]).toEqual([pduTypes.abort, expected]);
    socket.destroy();
    await echo(settings(port), context);
  });

  test("silence after connecting is cut, and told once; so is silence within an association", async () => {
    const { port, told } = await listening(undefined, { artimSeconds: 0.2, idleSeconds: 0.2 });
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => undefined);
    await once(socket.resume(), "close");
    expect(told).toEqual(["dicom.cut DICOM_INVALID: no association request came within artimSeconds"]);
    const peer = await associated(port);
    expect((await peer.next())?.type).toBe(pduTypes.abort);
    peer.socket.destroy();
    expect(told.slice(1)).toEqual([
      "dicom.aborted DICOM_INVALID: it was silent for 0.2 s; stallSeconds and idleSeconds allow no more",
    ]);
  });
});

describe("A-ASSOCIATE-RJ on the wire (PS3.8 9.3.4): result, source and reason, and what the log says to do", () => {
  const changed = (change: (request: Buffer) => void): Buffer => {
    const request = Buffer.from(associateRq());
    change(request);
    return request;
  };
  const ofContext = "1.2.840.10008.3.1.1.1";
  test.for<readonly [string, readonly number[], () => Buffer, object, string]>([
    [
      "another called AE title",
      [1, 1, 7],
      () => associateRq(undefined, "OTHER"),
      {},
      "correct the called AE title there",
    ],
    [
      "a caller that is not listed",
      [1, 1, 3],
      () => associateRq(),
      { callers: [{ aeTitle: "CT_1" }] },
      "add one if it may",
    ],
    [
      "another application context",
      [1, 1, 2],
      () => changed((request) => void request.write("2", request.indexOf(ofContext) + ofContext.length - 1)),
      {},
      "application context",
    ],
    [
      "another protocol version",
      [1, 2, 2],
      () => changed((request) => request.writeUInt16BE(2, 6)),
      {},
      "another version",
    ],
    ["one association too many", [2, 3, 2], () => associateRq(), { maxAssociations: 1 }, "maxAssociations"],
  ])("%s: %j", async ([what, expected, make, options, advice]) => {
    const { port, told } = await listening(undefined, options);
    const first = what.startsWith("one") ? await associated(port) : undefined;
    const peer = await dial(port);
    peer.send(make());
    const answer = await peer.next();
    expect([answer?.type, [...(answer?.body ?? [])]]).toEqual([pduTypes.associateRj, [0, ...expected]]);
    const code = expected[0] === 2 ? "PEER_BUSY" : "NOT_PERMITTED";
    expect(told).toEqual([expect.stringMatching(new RegExp(`^dicom.rejected ${code}: .*${advice}`))]);
    for (const each of [peer, first]) each?.socket.destroy();
  });
});

test("a peer that does not wait for its answers has few instances under way, and gets every answer", async () => {
  const [count, most] = [5_000, 1_000];
  let [under, peak] = [0, 0];
  const { port } = await listening(async ({ body }) => {
    under += 1;
    peak = Math.max(peak, under);
    for await (const _ of body);
    // A disk that is slower than the wire.
    for (let turn = 0; turn < 50; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    under -= 1;
    return { duplicate: false, answer: Promise.resolve({ accepted: true }) };
  });
  const peer = await associated(port);
  const one = [storeRq("1.2.3"), pdv(1, false, true, Buffer.alloc(8))];
  peer.send(...Array.from({ length: count }, () => one).flat());
  for (let n = 0; n < count; n += 1) expect((await peer.message()).command.get(0x900)).toBe(0);
  // What one read of the socket holds is begun in any case.
  expect(peak).toBeLessThan(most);
  peer.socket.destroy();
});

describe("negotiation (PS3.8 Annex D)", () => {
  test("contexts in any order of ids; classes that are no storage are refused with 3", () => {
    const contexts = [
      { id: 3, abstractSyntax: ct, transferSyntaxes: ["1.2.840.10008.1.2.4.50"] },
      { id: 1, abstractSyntax: "1.2.840.10008.5.1.4.1.2.2.1", transferSyntaxes: ["1.2.840.10008.1.2"] },
    ];
    const read = readRequest(associateRq(contexts).subarray(6));
    expect(read.contexts).toEqual(contexts);
    expect(negotiate(read.contexts).map(({ id, result, transferSyntax }) => [id, result, transferSyntax])).toEqual([
      [3, 0, "1.2.840.10008.1.2.4.50"],
      [1, 3, "1.2.840.10008.1.2"],
    ]);
  });

  test("user information is answered (PS3.7 D.3.3): one operation at a time, the requestor as SCU, an identity only if asked", () => {
    const items = (answer: number) => [
      { type: 0x53, body: Buffer.from([0, 8, 0, 8]) },
      { type: 0x54, body: Buffer.from([0, 3, ...Buffer.from("1.2"), 1, 1]) },
      { type: 0x58, body: Buffer.from([1, answer, 0, 1, 0x61, 0, 0]) },
      { type: 0x57, body: Buffer.from("an item that nobody knows") },
    ];
    const read = readRequest(associateRq().subarray(6));
    const answered = (answer: number): string =>
      writeAccept({ ...read, items: items(answer) }, negotiate(read.contexts), 16_384).toString("hex");
    const [asked, unasked] = [answered(1), answered(0)];
    for (const hex of [asked, unasked]) {
      expect(hex).toContain("5300000400010001");
      expect(hex).toContain("540000070003312e320100");
    }
    expect(asked).toContain("590000020000");
    expect(unasked).not.toContain("59000002");
    expect(asked).not.toContain(Buffer.from("nobody").toString("hex"));
  });

  test("a command set is read as it was written", () => {
    const elements = [
      [2, "1.2.3"],
      [0x0100, 1],
      [0x0110, 65_535],
      [0x0800, 0x0101],
    ] as const;
    expect([...readCommand(writeCommand(elements))].filter(([number]) => number !== 0)).toEqual(
      elements.map((element) => [...element]),
    );
  });

  test("any octets, in any pieces, are read or are a ProtocolError", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.integer({ min: 1, max: 50 }), (bytes, size) => {
        const read = openPduReader(16_384, {
          control: (type, body) =>
            void (type === pduTypes.associateRq
              ? readRequest(body)
              : readAccept(Buffer.concat([Buffer.alloc(68), body]), [])),
          fragment: ({ isCommand, bytes: piece }) => void (isCommand && readCommand(Buffer.from(piece))),
        });
        try {
          for (let at = 0; at < bytes.length; at += size) read(Buffer.from(bytes.subarray(at, at + size)));
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(ProtocolError);
        }
      }),
      { numRuns: 2_000 },
    );
  });
});
