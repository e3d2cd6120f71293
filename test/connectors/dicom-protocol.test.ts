/** DICOM upper layer: peers that break it are aborted, contexts are negotiated, any octets are read or refused. */
import { once } from "node:events";
import { connect } from "node:net";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { negotiate, readAccept, readRequest } from "../../connectors/dicom/association.ts";
import { readCommand, writeCommand } from "../../connectors/dicom/dimse.ts";
import { dataHead, openPduReader, ProtocolError, pduTypes, writePdu } from "../../connectors/dicom/pdu.ts";
import { echo } from "../../connectors/dicom/scu.ts";
import { associateRq, ct } from "../dicom-peer.ts";
import { context, listening, settings } from "./dicom-listening.ts";

describe("peers that break the protocol are aborted, and the next C-ECHO works (PS3.8 9.2)", () => {
  const longHead = (type: number, length: number): Buffer => {
    const head = Buffer.from([type, 0, 0, 0, 0, 0]);
    head.writeUInt32BE(length, 2);
    return head;
  };
  test.for([
    ["garbage", () => [Buffer.from("GET / HTTP/1.1\r\n\r\n")]],
    ["an unknown PDU type", () => [writePdu(9, new Uint8Array(4))]],
    ["a control PDU of 1 GiB", () => [longHead(1, 2 ** 30)]],
    ["data before an association", () => [dataHead(1, true, true, 4), Buffer.alloc(4)]],
    [
      "129 presentation contexts",
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
    ["an even context id", () => [associateRq([{ id: 2, abstractSyntax: ct, transferSyntaxes: ["1.2"] }])]],
    [
      "a context id twice",
      () => [associateRq([1, 1].map((id) => ({ id, abstractSyntax: ct, transferSyntaxes: ["1.2"] })))],
    ],
    ["no transfer syntax", () => [associateRq([{ id: 1, abstractSyntax: ct, transferSyntaxes: [] }])]],
    ["P-DATA over the announced size", () => [associateRq(), longHead(pduTypes.data, 200_000)]],
    ["a context that was not accepted", () => [associateRq(), dataHead(5, true, true, 4), Buffer.alloc(4)]],
    ["a data set without its command", () => [associateRq(), dataHead(1, false, true, 4), Buffer.alloc(4)]],
    [
      "a command set that is none",
      () => [associateRq(), dataHead(1, true, true, 8), Buffer.from([8, 0, 0, 0, 0, 0, 0, 0])],
    ],
    [
      "a PDV longer than its PDU",
      () => [associateRq(), Buffer.from([4, 0, 0, 0, 0, 10, 0, 0, 0, 200, 1, 3, 0, 0, 0, 0])],
    ],
    ["a second association request", () => [associateRq(), associateRq()]],
  ] as const)("%s", async ([, make]) => {
    const { port } = await listening(undefined, { artimSeconds: 0.1 });
    const socket = connect(port, "127.0.0.1");
    const back: Buffer[] = [];
    socket.on("data", (data: Buffer) => back.push(data));
    socket.on("error", () => undefined);
    for (const bytes of make()) socket.write(bytes);
    await once(socket, "end");
    const answer = Buffer.concat(back);
    const abortAt = answer.length - 10;
    expect(answer.subarray(abortAt, abortAt + 1)[0]).toBe(pduTypes.abort);
    socket.destroy();
    await echo(settings(port), context);
  });

  test("silence after connecting is cut", async () => {
    const { port } = await listening(undefined, { artimSeconds: 0.2 });
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => undefined);
    await once(socket.resume(), "close");
  });
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
              : readAccept(Buffer.concat([Buffer.alloc(68), body]))),
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
