/** A study and its report at A, the patient admitted at B, whose PACS is another than the demo's: scripted, or a peer. */
import { afterEach, beforeAll } from "vitest";
import { type Script, type ScriptedPacs, scriptedPacs } from "../connectors/scripted-pacs.ts";
import { ctStudy } from "../fixtures/dicom.ts";
import { sampleMessage } from "../fixtures/documents.ts";
import { dataSetSha256, openExchange, type TestExchange, testPki } from "../sites.ts";

export let pki: string;
export const stops: (() => unknown)[] = [];
/** For the tests of the file that calls this. */
export function housesWithPacs(): void {
  beforeAll(async () => {
    pki = await testPki();
  });
  afterEach(async () => {
    for (const stop of stops.splice(0).reverse()) await stop();
  });
}

export const study = ctStudy({ instancesPerSeries: 3 });
export const digests = new Map(study.map(({ bytes, sopInstanceUid }) => [sopInstanceUid, dataSetSha256(bytes)]));

/** The study and its report at A, the patient admitted at B, whose PACS is scripted. */
export async function delivering(
  script: Script,
  edit?: (yaml: string) => string,
): Promise<{ at: TestExchange; pacs: ScriptedPacs }> {
  const pacs = await scriptedPacs(script);
  stops.push(() => pacs.stop());
  return { at: await atPacs(pacs.port, edit), pacs };
}

export async function atPacs(port: number, edit?: (yaml: string) => string): Promise<TestExchange> {
  const at = await openExchange(pki, { B_PACS: String(port), RETRY: "100ms" }, edit);
  stops.push(() => at.close());
  await at.instances(study.map(({ bytes }) => bytes));
  await at.message(sampleMessage("mdm-t02-116"));
  await at.registered(1);
  await at.message(sampleMessage("adt-a01"), "B_ADT");
  return at;
}
export const logged = (at: TestExchange, event: string) => at.log.filter((line) => line.event === event);
export const deliveries = async (at: TestExchange): Promise<Record<string, number>> =>
  (await at.admin("hospital-b").get<{ deliveries: Record<string, number> }>("/counts")).deliveries;
