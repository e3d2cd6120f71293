/** A house whose data folder is gone, as docs/incidents.md has it: what was registered is found again under an id that replaces it. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import type { Traced } from "../commands/journal/trace.ts";
import { adtFor, cda, chen, mdmFor } from "./fixtures/documents.ts";
import { openExchange, sha256, type TestExchange, testPki, until } from "./sites.ts";

let exchange: TestExchange | undefined;
afterAll(() => exchange?.close());

const report = (extension: string): Uint8Array =>
  cda({ form: "113", extension, patient: chen, code: "11502-2", display: "x", title: "檢驗報告", body: "x" });
const replacing = { controlId: "M2", event: "MDM^T10^MDM_T02", name: "DOC-M2", parent: "DOC-M1" };

test("the same report is refused by the registry; one that replaces it reaches HIS B", async () => {
  exchange = await openExchange(await testPki());
  const { folder, message, admin } = exchange;
  const registering = async (id: string) => (await admin("hospital-a").get<Traced>(`/trace/${id}`)).deliveries[0];
  await message(mdmFor(report("LOST.1"), { controlId: "M1" }));
  await exchange.registered(1);
  await exchange.stop("hospital-a");
  rmSync(join(folder, "data", "hospital-a"), { recursive: true });
  await exchange.start("hospital-a");
  await message(mdmFor(report("LOST.1"), { controlId: "M1" }));
  await until("it is parked", async () => (await registering("M1"))?.state === "parked");
  expect((await registering("M1"))?.reason).toMatch(/DOCUMENT_CONFLICT/);
  await message(mdmFor(report("LOST.2"), replacing));
  await until("it is registered", async () => (await registering("M2"))?.state === "delivered");
  await message(adtFor(`${chen.national}^^^MOI^NI`), "B_ADT");
  await exchange.messagesAtB(1);
  expect([...exchange.documentsAtB()]).toEqual([sha256(report("LOST.2"))]);
});
