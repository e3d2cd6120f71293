/** Images that come late, of a study of whose reports one was cancelled: they follow the one that stands. */
import { afterEach, beforeAll, expect, test } from "vitest";
import type { Traced } from "../commands/journal/trace.ts";
import { ctStudy } from "./fixtures/dicom.ts";
import { adtFor, cancelFor, cda, chen, mdmFor } from "./fixtures/documents.ts";
import { openExchange, type TestExchange, testPki, until } from "./sites.ts";

let pki: string;
let exchange: TestExchange;
beforeAll(async () => {
  pki = await testPki();
});
afterEach(() => exchange.close());

const study = { uid: "2.25.116001", accession: "ACC20260116", series: [], modality: "CT" };
const report = (extension: string): Uint8Array =>
  cda({ form: "116", extension, patient: chen, code: "18782-3", display: "x", title: "報告", study, body: "x" });

test("the newer report of two is cancelled: an image that comes then reaches PACS B with the other", async () => {
  exchange = await openExchange(pki, { RETRY: "100ms" });
  const { message, instances, registered, admin, instancesAtB } = exchange;
  const files = ctStudy({ instancesPerSeries: 1, size: 32 });
  const [late, ...first] = files;
  await message(mdmFor(report("LATE.1"), { controlId: "M1", name: "DOC1^HIS" }));
  await instances(first.map(({ bytes }) => bytes));
  await registered(1);
  await message(mdmFor(report("LATE.2"), { controlId: "M2", name: "DOC2^HIS" }));
  await registered(2);
  await message(cancelFor("M3", "DOC2^HIS"));
  const deprecated = async (): Promise<boolean> =>
    (await admin("hospital-a").get<Traced>("/trace/M2")).steps.some(({ event }) => event === "deprecated");
  await until("the newer one is deprecated", deprecated);
  await instances(late ? [late.bytes] : []);
  await registered(3);
  await message(adtFor(`${chen.national}^^^MOI^NI`), "B_ADT");
  await until("the study at PACS B", () => instancesAtB().size === files.length);
  expect(instancesAtB().has(late?.sopInstanceUid ?? "")).toBe(true);
});
