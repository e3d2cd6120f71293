/** DICOM: negotiation, limits, instances byte for byte, and peers that break the protocol. */
import { once } from "node:events";
import { connect } from "node:net";
import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import type { Deliver, Outcome } from "../../connectors/connector.ts";
import { negotiate, readAccept, readRequest, writeRequest } from "../../connectors/dicom/association.ts";
import { readCommand, writeCommand } from "../../connectors/dicom/dimse.ts";
import { dataHead, openPduReader, ProtocolError, pduTypes, writePdu } from "../../connectors/dicom/pdu.ts";
import { dicomSource } from "../../connectors/dicom/scp.ts";
import { type DicomItem, dicomDestination, echo } from "../../connectors/dicom/scu.ts";
import { Fault } from "../../errors.ts";
import { readHead } from "../../formats/dicom.ts";
import { wire } from "../envelope/people.ts";
import { ctStudy, encapsulatedPdf, mrStudy, multiFrame } from "../fixtures/dicom.ts";
import { dataSetSha256 } from "../sites.ts";

const context = { log: () => undefined, signal: new AbortController().signal };
const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

type Listening = { readonly port: number; readonly kept: Map<string, string> };

async function listening(answer?: Deliver, options = {}): Promise<Listening> {
  const kept = new Map<string, string>();
  const keep: Deliver = async ({ body, controlId }) => {
    const pieces: Uint8Array[] = [];
    for await (const piece of body) pieces.push(piece);
    kept.set(controlId, dataSetSha256(Buffer.concat(pieces)));
    return { duplicate: false, answer: Promise.resolve({ accepted: true }) };
  };
  const source = await dicomSource.listen(
    dicomSource.options.parse({ port: 0, aeTitle: "SEMRS_A", ...options }),
    answer ?? keep,
    context,
  );
  stops.push(() => source.stop());
  return { port: Number(source.address.split(":")[1]), kept };
}

const settings = (port: number, change = {}) =>
  dicomDestination.options.parse({
    host: "127.0.0.1",
    port,
    callingAeTitle: "PACS_A",
    calledAeTitle: "SEMRS_A",
    ...change,
  });
const itemOf = (bytes: Uint8Array): DicomItem => {
  const { sopInstanceUid, sopClassUid, transferSyntaxUid } = readHead(bytes);
  return {
    controlId: sopInstanceUid,
    size: bytes.length,
    sopClassUid,
    transferSyntaxUid,
    body: () => wire(bytes, 10_007),
  };
};
async function* each<T>(values: readonly T[]): AsyncGenerator<T> {
  yield* values;
}
async function send(port: number, files: readonly Uint8Array[], change = {}): Promise<Map<string, Outcome>> {
  const outcomes = new Map<string, Outcome>();
  await dicomDestination.send(
    settings(port, change),
    each(files.map(itemOf)),
    (item, outcome) => outcomes.set(item.controlId, outcome),
    context,
  );
  return outcomes;
}

const samples = [...ctStudy({ instancesPerSeries: 3 }), ...mrStudy(), ...encapsulatedPdf(), ...multiFrame()];

describe("instances", () => {
  test.for([1, 4])("arrive byte for byte over %i associations, whatever the size of the PDUs", async (associations) => {
    for (const maxPdu of [4096, 131_072]) {
      const { port, kept } = await listening(undefined, { maxPdu });
      const outcomes = await send(
        port,
        samples.map(({ bytes }) => bytes),
        { associations },
      );
      expect([...outcomes.values()].every(({ state }) => state === "delivered")).toBe(true);
      expect(kept).toEqual(new Map(samples.map(({ bytes, sopInstanceUid }) => [sopInstanceUid, dataSetSha256(bytes)])));
    }
  });

  test("a body that is shorter than was announced arrives whole", async () => {
    const { port, kept } = await listening();
    const [sample] = samples.map(({ bytes }) => bytes).map(itemOf);
    if (!sample) throw new Error("no sample");
    const outcomes: Outcome[] = [];
    const item = { ...sample, size: sample.size + 1000 };
    await dicomDestination.send(settings(port), each([item]), (_item, outcome) => outcomes.push(outcome), context);
    expect(outcomes).toMatchObject([{ state: "delivered" }]);
    expect(kept.get(item.controlId)).toBe(dataSetSha256(samples[0]?.bytes ?? Buffer.alloc(0)));
  });

  test.for([1, 4])("one whose own bytes fail is never passed over, with %i associations", async (associations) => {
    const { port } = await listening();
    const items = ctStudy({ instancesPerSeries: 2 }).map(({ bytes }, index) => {
      const item = itemOf(bytes);
      async function* failing(): AsyncGenerator<Uint8Array> {
        yield bytes.subarray(0, 2000);
        throw new Fault("DICOM_UNSUPPORTED", "cannot be written");
      }
      return index === 3 ? { ...item, size: 1, body: failing } : item;
    });
    const sending = dicomDestination.send(settings(port, { associations }), each(items), () => undefined, context);
    await expect(sending).rejects.toMatchObject({ code: "DICOM_UNSUPPORTED" });
  });

  test("a refusal is that instance's alone; the association goes on", async () => {
    let count = 0;
    const { port } = await listening(async ({ body }) => {
      count += 1;
      // The second is refused before its body is read, the third after.
      if (count === 2) throw new Fault("STORE_FULL", "full");
      for await (const _ of body);
      if (count === 3) throw new Fault("DICOM_INVALID", "broken");
      return { duplicate: false, answer: Promise.resolve({ accepted: true }) };
    });
    const outcomes = await send(
      port,
      ctStudy({ instancesPerSeries: 2, size: 512 }).map(({ bytes }) => bytes),
    );
    expect([...outcomes.values()].map((outcome) => (outcome.state === "ambiguous" ? "" : outcome.detail))).toEqual([
      "0000",
      "A700",
      "C000",
      "0000",
    ]);
  });

  test("one that is cut off fails its body, and nothing is answered", async () => {
    let failure: unknown;
    const { port } = await listening(async ({ body }) => {
      try {
        for await (const _ of body);
      } catch (thrown) {
        failure = thrown;
        throw thrown;
      }
      return { duplicate: false, answer: Promise.resolve({ accepted: true }) };
    });
    const socket = connect(port, "127.0.0.1");
    socket.write(request());
    await once(socket, "data");
    const command = writeCommand([
      [2, "1.2.840.10008.5.1.4.1.1.2"],
      [0x0100, 1],
      [0x0110, 1],
      [0x0700, 0],
      [0x0800, 0],
      [0x1000, "1.2.3"],
    ]);
    socket.write(
      Buffer.concat([
        dataHead(1, true, true, command.length),
        command,
        dataHead(1, false, false, 100),
        Buffer.alloc(100),
      ]),
    );
    setTimeout(() => socket.destroy(), 50);
    await once(socket, "close");
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(failure).toMatchObject({ code: "DICOM_INVALID" });
  });
});

describe("who may call", () => {
  test("another called AE title is rejected, and the fault says what to correct", async () => {
    const { port } = await listening();
    await expect(send(port, [samples[0]?.bytes ?? new Uint8Array()], { calledAeTitle: "OTHER" })).rejects.toThrow(
      /correct calledAeTitle/,
    );
  });

  test("a caller that is not listed, by title or address, is rejected", async () => {
    const { port } = await listening(undefined, {
      callers: [{ aeTitle: "PACS_A", address: "10.0.0.0/8" }, { aeTitle: "PACS_C" }],
    });
    await expect(echo(settings(port), context)).rejects.toThrow(/administrator must enter it/);
    await echo(settings(port, { callingAeTitle: "PACS_C" }), context);
  });

  test("over the limit of associations the answer is a transient rejection", async () => {
    const { port } = await listening(undefined, { maxAssociations: 1 });
    const first = connect(port, "127.0.0.1");
    stops.push(() => first.destroy());
    await once(first, "connect");
    await expect(echo(settings(port), context)).rejects.toMatchObject({ code: "PEER_BUSY" });
  });
});

const ct = "1.2.840.10008.5.1.4.1.1.2";
const request = (contexts = [{ id: 1, abstractSyntax: ct, transferSyntaxes: ["1.2.840.10008.1.2.1"] }]): Buffer =>
  writeRequest("SEMRS_A", "PACS_A", contexts, 16_384);

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
        request(
          Array.from({ length: 129 }, (_, i) => ({
            id: (i * 2 + 1) % 256,
            abstractSyntax: ct,
            transferSyntaxes: ["1.2"],
          })),
        ),
      ],
    ],
    ["an even context id", () => [request([{ id: 2, abstractSyntax: ct, transferSyntaxes: ["1.2"] }])]],
    [
      "a context id twice",
      () => [request([1, 1].map((id) => ({ id, abstractSyntax: ct, transferSyntaxes: ["1.2"] })))],
    ],
    ["no transfer syntax", () => [request([{ id: 1, abstractSyntax: ct, transferSyntaxes: [] }])]],
    ["P-DATA over the announced size", () => [request(), longHead(pduTypes.data, 200_000)]],
    ["a context that was not accepted", () => [request(), dataHead(5, true, true, 4), Buffer.alloc(4)]],
    ["a data set without its command", () => [request(), dataHead(1, false, true, 4), Buffer.alloc(4)]],
    [
      "a command set that is none",
      () => [request(), dataHead(1, true, true, 8), Buffer.from([8, 0, 0, 0, 0, 0, 0, 0])],
    ],
    ["a PDV longer than its PDU", () => [request(), Buffer.from([4, 0, 0, 0, 0, 10, 0, 0, 0, 200, 1, 3, 0, 0, 0, 0])]],
    ["a second association request", () => [request(), request()]],
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
    const read = readRequest(request(contexts).subarray(6));
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
