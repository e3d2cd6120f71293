/** Orthanc as PACS A: asked for a study that never came, and for how many instances one has. */
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import type { Traced } from "../../commands/journal/trace.ts";
import { type DicomItem, dicomDestination } from "../../connectors/dicom/scu.ts";
import { ctStudy } from "../fixtures/dicom.ts";
import { dicomItem } from "../fixtures/dicom-item.ts";
import { sampleMessage } from "../fixtures/documents.ts";
import { peer } from "../peers.ts";
import { openExchange, type TestExchange, testPki, until } from "../sites.ts";
import { type Orthanc, startOrthanc } from "./orthanc.ts";

const orthanc = peer("Orthanc");
const context = { log: () => undefined, signal: new AbortController().signal };
const study = ctStudy({ instancesPerSeries: 3 });
let pki: string;
beforeAll(async () => {
  pki = await testPki();
});
let exchange: TestExchange | undefined;
let pacs: Orthanc | undefined;
afterEach(async () => {
  await exchange?.close();
  await pacs?.stop();
});

/** Hospital A with Orthanc as its PACS, which knows our listener as SEMRS_A. */
async function open(study: string): Promise<{ at: TestExchange; held: Orthanc }> {
  const held = await startOrthanc("PACS_A");
  pacs = held;
  const at = await openExchange(pki, { QUIET: "10m" }, (yaml) =>
    yaml
      .replace("aeTitle: SEMRS_A,", `aeTitle: SEMRS_A, connect: "127.0.0.1:${held.port}", calledAeTitle: PACS_A,`)
      .replace("when: referenced,", `when: referenced, ${study},`),
  );
  exchange = at;
  await held.rest("/modalities/semrs", { AET: "SEMRS_A", Host: "127.0.0.1", Port: Number(at.env.A_PACS) });
  async function* items(): AsyncGenerator<DicomItem> {
    for (const { bytes } of ctStudy({ instancesPerSeries: 3 })) yield dicomItem(bytes);
  }
  const to = { host: "127.0.0.1", port: held.port, callingAeTitle: "SEMRS_A", calledAeTitle: "PACS_A" };
  await dicomDestination.send(dicomDestination.options.parse(to), items(), () => undefined, context);
  return { at, held };
}
const traced = (at: TestExchange): Promise<Traced> => at.admin("hospital-a").get<Traced>("/trace/S116");

describe.skipIf(!orthanc.available)(`Orthanc ${orthanc.reason}`, () => {
  test("a study that never came is pulled; counted, it travels at once, long before it would be quiet", async () => {
    const { at } = await open("expect: pacs, pull: pacs, pullAfter: 200ms");
    await at.message(sampleMessage("mdm-t02-116"));
    await until("the record registered", async () => (await traced(at)).records[0]?.state === "registered", 40_000);
    const { records, steps } = await traced(at);
    expect(records[0]?.parts).toBe(study.length + 1);
    expect(steps).toContainEqual(
      expect.objectContaining({ event: "pulled", peer: "pacs", detail: `${study.length} instances` }),
    );
    expect(steps).toContainEqual(
      expect.objectContaining({ event: "counted", peer: "pacs", detail: `${study.length} instances` }),
    );
    expect(steps).toContainEqual(
      expect.objectContaining({ event: "assembled", detail: `${study.length} instances, all that the PACS counts` }),
    );
  });

  test("a PACS that does not answer is told of in the journal, and asked again later", async () => {
    const { at, held } = await open("pull: pacs, pullAfter: 100ms");
    await held.stop();
    pacs = undefined;
    await at.message(sampleMessage("mdm-t02-116"));
    await until("asked twice in vain", async () => {
      const failed = (await traced(at)).steps.filter(
        ({ event, code }) => event === "pulled" && code === "PEER_UNREACHABLE",
      );
      return failed.length >= 2;
    });
    expect((await traced(at)).documents[0]?.state).toBe("waiting");
  });
});
