/** What is sent: messages and instances that never come twice, made before the clock starts. */
import type { Item } from "../connectors/connector.ts";
import { type DicomItem, dicomDestination } from "../connectors/dicom/scu.ts";
import { readHead } from "../formats/dicom.ts";
import type { Patient } from "../test/fixtures/cda.ts";
import { ctStudy } from "../test/fixtures/dicom.ts";
import { cda, chen, mdmFor } from "../test/fixtures/documents.ts";

const context = { log: () => undefined, signal: new AbortController().signal };
let number = process.pid * 100_000;

/** ADT^A08 of about a kilobyte: no channel takes it, it is made durable and acknowledged. */
export function adtMessages(count: number): readonly Item[] {
  return Array.from({ length: count }, (): Item => {
    number += 1;
    const head = `MSH|^~\\&|HIS|HOSPA|SEMRS|HOSPA|20260116093500+0800||ADT^A08^ADT_A01|B${number}|P|2.5.1\rEVN|A08|20260116\rPID|1||${number}^^^HOSPA^MR||TEST^${number}\r`;
    return itemOf(`B${number}`, Buffer.from(`${head}NTE|1||${"x".repeat(1000 - head.length)}\r`));
  });
}

/** MDM^T02 with a CDA of about 30 KB, each of a patient of its own: what is of one patient is judged in its order. */
export const documentMessages = (count: number): readonly Item[] =>
  documentsOf(count, () => ({ ...chen, national: `A${number}`, chart: `${number}` }));

/** The same, all of one patient. */
export const documentsOfOne = (count: number): readonly Item[] => documentsOf(count, () => chen);

/** 30 KB of it. */
export const findings = "血紅素 13.2 g/dL; ".repeat(1_200);

const documentsOf = (count: number, patientOf: () => Patient): readonly Item[] =>
  Array.from({ length: count }, () => document(findings, patientOf));

function document(text: string, patientOf: () => Patient = () => chen): Item {
  const patient = patientOf();
  const report = reportFor(patient, text);
  return itemOf(`B${number}`, mdmFor(report, { controlId: `B${number}`, patient }));
}

/** A CDA of its own of a patient, some 2 KB longer than its text. */
export function reportFor(patient: Patient, text: string): Uint8Array {
  number += 1;
  return cda({
    form: "113",
    extension: `BENCH.${number}`,
    patient,
    code: "11502-2",
    display: "x",
    title: "檢驗報告",
    body: `<paragraph>${text}${number}</paragraph>`,
  });
}

/** The same with a CDA of about so many octets. */
export const documentsOfSize = (count: number, size: number): readonly Item[] =>
  Array.from({ length: count }, () => document("x".repeat(size)));

const itemOf = (controlId: string, bytes: Uint8Array): Item => ({
  controlId,
  size: bytes.length,
  body: () => each([bytes]),
});

/** CT of 525 kB, or of another size by its rows and columns. */
export function ctInstances(count: number, size = 512): readonly DicomItem[] {
  number += 1;
  const study = ctStudy({
    instancesPerSeries: Math.ceil(count / 2),
    size,
    studyUid: `2.25.9${number}`,
    accession: `B${number}`,
  });
  return study.slice(0, count).map(({ bytes }): DicomItem => {
    const { sopInstanceUid, sopClassUid, transferSyntaxUid } = readHead(bytes);
    return { controlId: sopInstanceUid, size: bytes.length, sopClassUid, transferSyntaxUid, body: () => each([bytes]) };
  });
}

/** A report and its study of CT images of 525 kB, all of one patient. */
export function imagedReport(count: number): { readonly report: Item; readonly instances: readonly DicomItem[] } {
  const instances = ctInstances(count);
  const [uid, accession] = [`2.25.9${number}`, `B${number}`];
  const study = { uid, accession, series: [`${uid}1`, `${uid}2`], modality: "CT" };
  const named = { form: "116", extension: `BENCH.${number}`, patient: chen, code: "18782-3", display: "x", title: "x" };
  const report = cda({ ...named, study, body: "<paragraph>x</paragraph>" });
  return { report: itemOf(`B${number}`, mdmFor(report, { controlId: `B${number}` })), instances };
}

/** Sends on so many associations; fails unless every one is answered Success. */
export async function sendInstances(
  items: readonly DicomItem[],
  port: number,
  calledAeTitle: string,
  associations: number,
): Promise<void> {
  const options = dicomDestination.options.parse({
    host: "127.0.0.1",
    port,
    callingAeTitle: "PACS_A",
    calledAeTitle,
    associations,
  });
  let accepted = 0;
  const count = (_item: Item, { state }: { state: string }): void => {
    if (state === "delivered") accepted += 1;
  };
  await dicomDestination.send(options, each(items), count, context);
  if (accepted !== items.length) throw new Error(`${accepted} of ${items.length} instances were answered Success`);
}

async function* each<T>(values: readonly T[]): AsyncGenerator<T> {
  yield* values;
}
