/** A PDF beside a document travels in the same envelope, and reaches HIS B in the same message, octet for octet. */
import { beforeAll, expect, onTestFinished, test } from "vitest";
import type { Traced } from "../commands/journal/trace.ts";
import { embeddedDocuments, readMsh } from "../formats/hl7.ts";
import type { DocumentFacts } from "../pipeline/validate.ts";
import { adtFor, cda, chen, mdmFor } from "./fixtures/documents.ts";
import { acksIn, openHouse } from "./house.ts";
import { openExchange, sha256, testPki, until } from "./sites.ts";

let pki: string;
beforeAll(async () => {
  pki = await testPki();
});

const pdf = Buffer.concat([Buffer.from("%PDF-1.7\n"), Buffer.from(Array.from({ length: 3000 }, (_, n) => n % 256))]);
const report = cda({
  form: "113",
  extension: "PDF.1",
  patient: chen,
  code: "11502-2",
  display: "x",
  title: "檢驗報告",
  body: "x",
});
const obx = (value: string, status = "F"): Buffer => Buffer.from(`OBX|2|ED|PDF^x^L||${value}||||||${status}\r`);
const message = Buffer.concat([
  mdmFor(report, { controlId: "M1" }),
  obx(`^application^pdf^Base64^${pdf.toString("base64")}`),
]);

test("from HIS A to HIS B, through a restart of A", async () => {
  const exchange = await openExchange(pki);
  onTestFinished(() => exchange.close());
  expect(await exchange.message(message)).toMatchObject({ state: "delivered", detail: "AA" });
  const trace = () => exchange.admin("hospital-a").get<Traced>("/trace/M1");
  expect((await trace()).arrivals[0]).toMatchObject({ state: "done", code: null });
  await until("registered", async () => (await trace()).records.some(({ state }) => state === "registered"));
  await exchange.stop("hospital-a");
  await exchange.start("hospital-a");
  await exchange.message(adtFor(`${chen.national}^^^MOI^NI`), "B_ADT");
  const [got = Buffer.alloc(0)] = await exchange.messagesAtB(1);
  const embedded = embeddedDocuments(got, readMsh(got));
  expect(embedded.map(({ kind, obx: n, bytes }) => [kind, n, sha256(bytes)])).toEqual([
    ["cda", "1", sha256(report)],
    ["pdf", "2", sha256(pdf)],
  ]);
});

test.each([
  ["F", 1, null],
  ["C", 1, null],
  ["P", 0, "PRELIMINARY"],
  ["X", 0, "ATTACHMENT_NOT_CARRIED"],
])("OBX-11 %s of a PDF: %i travel", async (status, count, code) => {
  const house = await openHouse(pki);
  onTestFinished(() => house.close());
  const beside = obx(`^application^pdf^Base64^${pdf.toString("base64")}`, status);
  const document = mdmFor(report, { controlId: "M2", event: "ORU^R01^ORU_R01" });
  expect(acksIn(await house.ask(Buffer.concat([document, beside])))).toEqual(["AA M2"]);
  const [arrival] = house.store.arrivals.list({ limit: 1 });
  const [item] = house.store.items.byArrival(arrival?.id ?? "");
  const { attachments = [] } = (item?.facts ?? {}) as Partial<DocumentFacts>;
  expect([attachments.length, arrival?.code]).toEqual([count, code]);
});
