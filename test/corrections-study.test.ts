/** A report with images that is cancelled before PACS B has any of them: what was not sent yet does not go there. */
import { afterEach, beforeAll, expect, test } from "vitest";
import type { Traced } from "../commands/journal/trace.ts";
import { ctStudy } from "./fixtures/dicom.ts";
import { adtFor, cancelFor, chen, documents, mdmFor } from "./fixtures/documents.ts";
import { openExchange, type TestExchange, testPki, until } from "./sites.ts";

let pki: string;
let exchange: TestExchange;
beforeAll(async () => {
  pki = await testPki();
});
afterEach(() => exchange.close());

test.each(["paused", "away, and given up"])(
  "PACS B is %s: it gets none of its images, and HIS B, which has the report, its cancellation",
  async (what) => {
    const isPaused = what === "paused";
    // Where nobody listens.
    const away = isPaused ? {} : { B_PACS: "1" };
    exchange = await openExchange(pki, { RETRY: "100ms", ...away }, (yaml) => yaml.replace("for: 14d", "for: 5s"));
    const b = exchange.admin("hospital-b");
    const study = async () => {
      const [record] = await b.get<readonly { readonly id: string }[]>("/records");
      const { deliveries } = await b.get<Traced>(`/trace/${record?.id}`);
      return deliveries.find(({ kind }) => kind === "study");
    };
    if (isPaused) await b.post("/stops/pacs/pause", { reason: "it is being updated" });
    await exchange.instances(ctStudy({ instancesPerSeries: 1 }).map(({ bytes }) => bytes));
    await exchange.message(mdmFor(documents["116"], { controlId: "M1", name: "DOC1^HIS" }));
    await exchange.registered(1);
    await exchange.message(adtFor(`${chen.national}^^^MOI^NI`), "B_ADT");
    await exchange.messagesAtB(1);
    if (!isPaused) await until("given up", async () => (await study())?.state === "parked");
    await exchange.message(cancelFor("M2", "DOC1^HIS"));
    await exchange.messagesAtB(2);
    if (isPaused) await b.post("/stops/pacs/resume", { reason: "it is up" });
    await until("ended", async () => /delivered|discarded/.test((await study())?.state ?? ""));
    expect(await study()).toMatchObject({ state: "discarded", code: "CANCELLED" });
    expect(exchange.instancesAtB().size).toBe(0);
  },
);

test("nor those that follow it as an addendum", async () => {
  exchange = await openExchange(pki, { RETRY: "100ms" });
  const b = exchange.admin("hospital-b");
  await b.post("/stops/pacs/pause", { reason: "it is being updated" });
  const instances = (first: number) => ctStudy({ instancesPerSeries: 1, first }).map(({ bytes }) => bytes);
  await exchange.instances(instances(1));
  await exchange.message(mdmFor(documents["116"], { controlId: "M1", name: "DOC1^HIS" }));
  await exchange.registered(1);
  await exchange.instances(instances(40));
  await exchange.registered(2);
  await exchange.message(adtFor(`${chen.national}^^^MOI^NI`), "B_ADT");
  const studies = async () => {
    const records = await b.get<readonly { readonly id: string }[]>("/records");
    const traces = await Promise.all(records.map(({ id }) => b.get<Traced>(`/trace/${id}`)));
    return traces.flatMap(({ deliveries }) => deliveries).filter(({ kind }) => kind === "study");
  };
  await until("both are here", async () => (await studies()).length === 2);
  await exchange.messagesAtB(1);
  await exchange.message(cancelFor("M2", "DOC1^HIS"));
  await exchange.messagesAtB(2);
  await b.post("/stops/pacs/resume", { reason: "it is up" });
  await until("ended", async () => (await studies()).every(({ state }) => /delivered|discarded/.test(state)));
  expect((await studies()).map(({ state, code }) => `${state} ${code}`)).toEqual(Array(2).fill("discarded CANCELLED"));
  expect(exchange.instancesAtB().size).toBe(0);
});
