/** dcmjs-dimse as a foreign client of our listener: C-ECHO, and C-STORE of what it encodes itself. */
import { afterEach, expect, test } from "vitest";
import { dimseLibrary } from "../../bench/dimse-library.ts";
import type { Deliver } from "../../connectors/connector.ts";
import { dicomSource } from "../../connectors/dicom/scp.ts";
import { inspectDicom, readMeta } from "../../formats/dicom.ts";
import { ctStudy } from "../fixtures/dicom.ts";

const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

test("it is answered Success, and what it sends is DICOM", async () => {
  const kept: string[] = [];
  const deliver: Deliver = async ({ body }) => {
    const inspector = inspectDicom();
    for await (const chunk of body) await inspector.push(chunk);
    await inspector.ended();
    kept.push(inspector.finish().sopInstanceUid);
    return { duplicate: false, answer: Promise.resolve({ accepted: true }) };
  };
  const { address, stop } = await dicomSource.listen(
    dicomSource.options.parse({ port: 0, aeTitle: "SEMRS_A" }),
    deliver,
    {
      log: () => undefined,
      signal: new AbortController().signal,
    },
  );
  stops.push(stop);
  const { Client, Dataset, requests, constants } = dimseLibrary();
  const instances = ctStudy({ instancesPerSeries: 2 });
  const client = new Client();
  const statuses: number[] = [];
  const sent = [
    new requests.CEchoRequest(),
    ...instances.map(
      ({ bytes }) =>
        new requests.CStoreRequest(
          new Dataset(Buffer.from(bytes).subarray(readMeta(bytes).offset), "1.2.840.10008.1.2.1"),
        ),
    ),
  ];
  for (const request of sent) {
    request.on("response", (response: { getStatus(): number }) => statuses.push(response.getStatus()));
    client.addRequest(request);
  }
  await new Promise<void>((resolve, reject) => {
    client.on("closed", resolve).on("networkError", reject).on("associationRejected", reject);
    client.send("127.0.0.1", Number(address.split(":")[1]), "DCMJS", "SEMRS_A");
  });
  expect(statuses).toEqual(sent.map(() => constants.Status.Success));
  expect(kept).toEqual(instances.map(({ sopInstanceUid }) => sopInstanceUid));
});
