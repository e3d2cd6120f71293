/** Houses that deliver under their own identity (`identity: ours`): what is sent through them, what they hold, what HIS B and PACS B got. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, expect } from "vitest";
import { deflatedExplicitLittle, readMeta } from "../formats/dicom.ts";
import { encodingOf } from "../formats/dicom-tokens.ts";
import { fieldsOf, readMsh, segments } from "../formats/hl7.ts";
import { ctStudy, type SampleInstance } from "./fixtures/dicom.ts";
import { elementsOf, hex, type ReadElement } from "./fixtures/dicom-elements.ts";
import { adtFor, chen, sampleMessage } from "./fixtures/documents.ts";
import { openExchange, type TestExchange, testPki, until } from "./sites.ts";

export type Held = { readonly id: string; readonly kind: string; readonly state: string; readonly code: string | null };

let pki: string;
export let exchange: TestExchange;
/** For the tests of the file that calls this. */
export function identifiedHouses(): void {
  beforeAll(async () => {
    pki = await testPki();
  });
  afterEach(() => exchange.close());
}

export const study = ctStudy({ instancesPerSeries: 2 });
export const identifiers = `${chen.national}^^^MOI^NI~B990011^^^HOSPB^MR`;
export const ours = (yaml: string): string =>
  yaml.replaceAll(/identity: original, because: "[^"]*"/g, "identity: ours");
export const admission = (controlId: string, birthDate = "19850412", sex = "F"): Uint8Array =>
  Buffer.from(
    Buffer.from(adtFor(identifiers, { controlId, name: "陳^怡君^^^女士" }))
      .toString("utf8")
      .replace("||19850412|F", `||${birthDate}|${sex}`)
      .replace("PV1|1|I|W3^301^2", `PV1|1|I|W3^301^2${"|".repeat(16)}V20260118^^^HOSPB`),
  );

/** Opens `exchange`; `edit` changes the house's files first. */
export async function open(edit = ours): Promise<void> {
  exchange = await openExchange(pki, {}, edit);
}

/** A report and its study at A, registered; `edit` changes the house's files first. */
export async function provided(edit = ours, instances: readonly SampleInstance[] = study): Promise<void> {
  await open(edit);
  await exchange.instances(instances.map(({ bytes }) => bytes));
  await exchange.message(sampleMessage("mdm-t02-116"));
  await exchange.registered(1);
}

export const parked = async (): Promise<readonly Held[]> => {
  const { deliveries } = await exchange.admin("hospital-b").get<{ deliveries: readonly Held[] }>("/journal");
  return deliveries.filter(({ state }) => state === "parked");
};
/** The one delivery that is held; nothing may have been delivered before. */
export async function held(code: string): Promise<Held> {
  await until(`held with ${code}`, async () => (await parked()).some((each) => each.code === code));
  expect([exchange.documentsAtB().size, exchange.instancesAtB().size]).toEqual([0, 0]);
  const all = await parked();
  expect(all.map(({ kind }) => kind)).toEqual(["identify"]);
  return all[0] as Held;
}
export const delivered = (count = study.length) =>
  until("document and images at B", () => messagesAtHis().length === 1 && exchange.instancesAtB().size === count);
export const release = ({ id }: Held) =>
  exchange.admin("hospital-b").post(`/journal/${id}/release`, { reason: "asked the patient" });

/** PID-3, 5, 7, 8, PV1-2, PV1-19 of the message that HIS B got. */
export const patientAtHis = (): readonly (string | undefined)[] => patientOf(messagesAtHis()[0] ?? Buffer.alloc(0));

export const messagesAtHis = (): readonly Uint8Array[] =>
  readdirSync(exchange.receivers.his.folder)
    .filter((name) => name.endsWith(".hl7"))
    .map((name) => readFileSync(join(exchange.receivers.his.folder, name)));

export function patientOf(message: Uint8Array): readonly (string | undefined)[] {
  const facts = readMsh(message);
  const of = (segment: string) =>
    [...segments(message)].filter((each) => each.name === segment).map((each) => fieldsOf(each, facts))[0];
  const [pid, pv1] = [of("PID"), of("PV1")];
  return [pid?.[3], pid?.[5], pid?.[7], pid?.[8], pv1?.[2], pv1?.[19]];
}

export const dataSet = (file: Uint8Array): ReadonlyMap<number, ReadElement> => {
  const { offset, transferSyntaxUid } = readMeta(file);
  const isDeflated = transferSyntaxUid === deflatedExplicitLittle;
  return elementsOf(file.subarray(offset), encodingOf(transferSyntaxUid), isDeflated);
};
export const atPacs = (sopInstanceUid: string): ReadonlyMap<number, ReadElement> =>
  dataSet(readFileSync(join(exchange.receivers.pacs.folder, `${sopInstanceUid}.dcm`)));
/** AccessionNumber, PatientID and IssuerOfPatientID of the first image that PACS B has. */
export const numbersAtPacs = (uid = study[0]?.sopInstanceUid ?? ""): readonly (string | undefined)[] =>
  [0x00080050, 0x00100020, 0x00100021].map((tag) => atPacs(uid).get(tag)?.value.toString().trimEnd());

/** Everything but what identity is, the sequence that tells of it, and lengths of groups. */
const spliced = new Set([
  0x00080000, 0x00100000, 0x00080050, 0x00080051, 0x00100020, 0x00100021, 0x00100024, 0x04000561,
]);
export const rest = (elements: ReadonlyMap<number, ReadElement>): readonly string[] =>
  [...elements]
    .filter(([tag]) => !spliced.has(tag))
    .map(([tag, { octets }]) => `${hex(tag)} ${octets.toString("latin1")}`);
