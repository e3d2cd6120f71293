/** A report with images that is cancelled before PACS B has any of them: what was not sent yet does not go there. */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Traced } from "../commands/journal/trace.ts";
import { ctStudy } from "./fixtures/dicom.ts";
import { adtFor, cancelFor, chen, documents, mdmFor } from "./fixtures/documents.ts";
import { openExchange, type TestExchange, testPki, until } from "./sites.ts";

let exchange: TestExchange;
beforeAll(async () => {
  exchange = await openExchange(await testPki(), { RETRY: "100ms" });
});
afterAll(() => exchange.close());

test("PACS B gets none of its images once it is back, and HIS B, which has the report, its cancellation", async () => {
  const b = exchange.admin("hospital-b");
  await b.post("/stops/pacs/pause", { reason: "it is being updated" });
  await exchange.instances(ctStudy({ instancesPerSeries: 1 }).map(({ bytes }) => bytes));
  await exchange.message(mdmFor(documents["116"], { controlId: "M1", name: "DOC1^HIS" }));
  await exchange.registered(1);
  await exchange.message(adtFor(`${chen.national}^^^MOI^NI`), "B_ADT");
  await exchange.messagesAtB(1);
  await exchange.message(cancelFor("M2", "DOC1^HIS"));
  await exchange.messagesAtB(2);
  await b.post("/stops/pacs/resume", { reason: "it is up" });
  const study = async () => {
    const [record] = await b.get<readonly { readonly id: string }[]>("/records");
    const { deliveries } = await b.get<Traced>(`/trace/${record?.id}`);
    return deliveries.find(({ kind }) => kind === "study");
  };
  await until("ended", async () => /delivered|discarded/.test((await study())?.state ?? ""));
  expect(await study()).toMatchObject({ state: "discarded", code: "CANCELLED" });
  expect(exchange.instancesAtB().size).toBe(0);
});
