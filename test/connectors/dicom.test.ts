/** DICOM: instances byte for byte, one's refusal or failure, and who may call. */
import { once } from "node:events";
import { connect } from "node:net";
import { describe, expect, test } from "vitest";
import type { Outcome } from "../../connectors/connector.ts";
import { writeCommand } from "../../connectors/dicom/dimse.ts";
import { dataHead } from "../../connectors/dicom/pdu.ts";
import { openAssociation } from "../../connectors/dicom/requestor.ts";
import { dicomDestination, echo } from "../../connectors/dicom/scu.ts";
import { Fault } from "../../errors.ts";
import { associateRq } from "../dicom-peer.ts";
import { ctStudy, encapsulatedPdf, mrStudy, multiFrame } from "../fixtures/dicom.ts";
import { dataSetSha256, until } from "../sites.ts";
import { context, each, itemOf, listening, send, settings, stopAfterEach, stops } from "./dicom-listening.ts";

stopAfterEach();

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
    let hasBegun = false;
    let failure: unknown;
    const { port } = await listening(async ({ body }) => {
      hasBegun = true;
      try {
        for await (const _ of body);
      } catch (thrown) {
        failure = thrown;
        throw thrown;
      }
      return { duplicate: false, answer: Promise.resolve({ accepted: true }) };
    });
    const socket = connect(port, "127.0.0.1");
    socket.write(associateRq());
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
    await until("its body is read", () => hasBegun);
    socket.destroy();
    await until("its body failed", () => failure !== undefined);
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
    const contexts = [{ id: 1, abstractSyntax: "1.2.840.10008.1.1", transferSyntaxes: ["1.2.840.10008.1.2"] }];
    const first = await openAssociation(settings(port), contexts, context.signal);
    stops.push(() => first.abort());
    await expect(echo(settings(port), context)).rejects.toMatchObject({ code: "PEER_BUSY" });
  });
});
