/** Images that come after their report was cancelled follow it no more: they wait for another report, or go with one that still stands. */
import { expect, test } from "vitest";
import { exchanges } from "../exchanges.ts";
import { ctStudy, type SampleInstance } from "../fixtures/dicom.ts";
import { cancelFor, cda, chen, mdmFor } from "../fixtures/documents.ts";
import { type TestExchange, until } from "../sites.ts";

const open = exchanges();
let exchange: TestExchange;

const a = () => exchange.admin("hospital-a");
const send = (instances: readonly SampleInstance[]) => exchange.instances(instances.map(({ bytes }) => bytes));
const report = (extension: string) => {
  const body = { code: "18782-3", display: "x", title: "報告", body: "x", patient: chen, form: "116", extension };
  const study = { uid: "2.25.116001", accession: "ACC20260116", series: [], modality: "CT" };
  return exchange.message(mdmFor(cda({ ...body, study }), { controlId: extension, name: `${extension}^HIS` }));
};
const records = () => a().get<readonly { parts: number; code: string | null; state: string }[]>("/records");
const waiting = async () =>
  (await a().get<{ items: readonly { kind: string; count: number }[] }>("/journal?state=waiting")).items;
/** The registry has signed that it took the entry of a report back. */
const takenBack = (controlId: string) =>
  until("deprecated", async () =>
    (await a().get<{ steps: readonly { event: string }[] }>(`/trace/${controlId}`)).steps.some(
      ({ event }) => event === "deprecated",
    ),
  );
const first = ctStudy({ instancesPerSeries: 1 });
const later = ctStudy({ instancesPerSeries: 1, first: 40 });

test("they wait, nothing is registered beside the deprecated entry, and the next report of the study takes them", async () => {
  exchange = await open({ QUIET: "200ms" });
  await send(first);
  await report("R.1");
  await exchange.registered(1);
  await exchange.message(cancelFor("C.1", "R.1^HIS"));
  await takenBack("R.1");
  await send(later);
  // Another patient's report leaves after them, were they to leave.
  await exchange.message(mdmFor(cda({ ...plain, extension: "P.1" }), { controlId: "P.1" }));
  await until("the other left", async () => (await records()).length > 1);
  await until("looked at", async () => (await waiting()).length > 0);
  expect(await waiting()).toMatchObject([{ kind: "instance", count: 2 }]);
  await report("R.2");
  await until("the second report left", async () => (await records()).some(({ parts }) => parts === 5));
  expect((await records()).map(({ parts }) => parts).sort()).toEqual([1, 3, 5]);
});

test("a report of the study that still stands takes them", async () => {
  exchange = await open({ QUIET: "200ms" });
  await send(first);
  await report("R.1");
  await exchange.registered(1);
  await report("R.2");
  await exchange.registered(2);
  await exchange.message(cancelFor("C.1", "R.2^HIS"));
  await takenBack("R.2");
  await send(later);
  await until("they followed", async () => (await records()).length === 3);
  const sealed = await a().get<{ documents: readonly { id: string }[] }>("/trace/R.1");
  expect(sealed.documents).toHaveLength(1);
  expect((await records()).map(({ code }) => code ?? "").sort()).toEqual(["", "", "CANCELLED"]);
});

const plain = { code: "11502-2", display: "x", title: "檢驗報告", body: "x", patient: chen, form: "113" };
