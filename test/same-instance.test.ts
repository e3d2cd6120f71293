/** One instance that comes by two ways: from the modality, and forwarded by the PACS, each under its own AE title. */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Traced } from "../commands/journal/trace.ts";
import { type DicomItem, dicomDestination } from "../connectors/dicom/scu.ts";
import { ctStudy } from "./fixtures/dicom.ts";
import { dicomItem } from "./fixtures/dicom-item.ts";
import { openExchange, type TestExchange, testPki } from "./sites.ts";

let at: TestExchange;
beforeAll(async () => {
  at = await openExchange(await testPki(), { QUIET: "10m" });
});
afterAll(() => at.close());

const [instance] = ctStudy({ instancesPerSeries: 1 });
const uid = instance?.sopInstanceUid ?? "";

async function* items(): AsyncGenerator<DicomItem> {
  if (instance) yield dicomItem(instance.bytes);
}

/** How hospital A answers to the instance under this AE title. */
async function sentAs(callingAeTitle: string): Promise<unknown> {
  const to = { host: "127.0.0.1", port: Number(at.env.A_PACS), callingAeTitle, calledAeTitle: "SEMRS_A" };
  let answer: unknown;
  await dicomDestination.send(
    dicomDestination.options.parse(to),
    items(),
    (_item, outcome) => {
      answer = outcome;
    },
    { log: () => undefined, signal: new AbortController().signal },
  );
  return answer;
}

test("it is the same instance, octet for octet, and is kept once", async () => {
  for (const title of ["CT_1", "PACS_A", "CT_1"])
    expect([title, await sentAs(title)]).toEqual([title, { state: "delivered", detail: "0000" }]);
  const { instances } = await at.admin("hospital-a").get<Traced>(`/trace/${uid}`);
  expect(instances).toEqual({ waiting: 1 });
});
