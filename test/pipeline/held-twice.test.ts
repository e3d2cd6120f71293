/** What a person let go once and was held again for another reason keeps what it is: a corrected instance, or a rejection note. */
import { afterEach, beforeAll, expect, test } from "vitest";
import { ctStudy, rejectionNote, type SampleInstance } from "../fixtures/dicom.ts";
import { adtFor, cda, chen, mdmFor } from "../fixtures/documents.ts";
import { dataSetSha256, openExchange, type TestExchange, testPki, until } from "../sites.ts";

let pki: string;
beforeAll(async () => {
  pki = await testPki();
});
let exchange: TestExchange;
afterEach(() => exchange.close());

const a = () => exchange.admin("hospital-a");
const held = async () =>
  (await a().get<{ items: readonly { id: string; code: string }[] }>("/journal?state=held")).items;
const send = (instances: readonly SampleInstance[]) => exchange.instances(instances.map(({ bytes }) => bytes));
/** A study and its report, sealed and registered. */
async function sealed(instances: readonly SampleInstance[]): Promise<void> {
  await send(instances);
  const body = {
    code: "18782-3",
    display: "x",
    title: "報告",
    body: "x",
    patient: chen,
    form: "116",
    extension: "T.1",
  };
  const study = { uid: "2.25.116001", accession: "ACC20260116", series: [], modality: "CT" };
  await exchange.message(mdmFor(cda({ ...body, study }), { controlId: "T.1" }));
  await exchange.registered(1);
}
/** Waits until something is held with a code, and lets it go. */
async function letGo(code: string, replace = false): Promise<void> {
  await until(`held with ${code}`, async () => (await held()).some((each) => each.code === code));
  const [first] = (await held()).filter((each) => each.code === code);
  await a().post(`/journal/${first?.id}/release`, { reason: "asked the ward", ...(replace ? { replace } : {}) });
}
const lateHeld = (yaml: string): string => yaml.replace("late: addendum", "late: hold");

test("corrected instances that were held for their patient, too, take the place of those that went", async () => {
  exchange = await openExchange(pki);
  const before = ctStudy({ instancesPerSeries: 1 });
  await sealed(before);
  const after = ctStudy({ instancesPerSeries: 1, patientId: "0099999" });
  await send(after);
  await letGo("DICOM_CONFLICT", true);
  await letGo("PATIENT_MISMATCH");
  await exchange.registered(2);
  await exchange.message(adtFor(`${chen.national}^^^MOI^NI`), "B_ADT");
  await until("both records delivered", async () => {
    const { records } = await exchange.admin("hospital-b").get<{ records: Record<string, number> }>("/counts");
    return records.delivered === 2;
  });
  expect([...exchange.instancesAtB()].sort()).toEqual(
    after.map(({ sopInstanceUid, bytes }) => [sopInstanceUid, dataSetSha256(bytes)]).sort(),
  );
  expect(await a().get<readonly { parts: number }[]>("/records")).toHaveLength(2);
});

test.each([
  ["as late", "STUDY_LATE", lateHeld, undefined],
  ["for its patient", "PATIENT_MISMATCH", (yaml: string) => yaml, "0099999"],
])("a rejection note that was held %s follows once a person lets it go", async (_why, code, edit, patientId) => {
  exchange = await openExchange(pki, {}, edit);
  const study = ctStudy({ instancesPerSeries: 1 });
  await sealed(study);
  const note = rejectionNote("113038", study, { ...(patientId ? { patientId } : {}) });
  await send([note]);
  await letGo(code);
  await exchange.registered(2);
  expect(await held()).toEqual([]);
  expect(exchange.log.filter(({ event }) => event === "assemble.rejected")).toHaveLength(1);
});
