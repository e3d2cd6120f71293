/** A house whose data folder is gone, as docs/incidents.md has it: what its HIS sends again is found again, and nobody gets it twice (decision 43). */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import type { Traced } from "../commands/journal/trace.ts";
import { adtFor, cda, chen, lin, mdmFor } from "./fixtures/documents.ts";
import { openExchange, sha256, type TestExchange, testPki, until } from "./sites.ts";

let exchange: TestExchange | undefined;
afterAll(() => exchange?.close());

const report = (patient: typeof chen, extension: string): Uint8Array =>
  cda({ form: "113", extension, patient, code: "11502-2", display: "x", title: "檢驗報告", body: "x" });
const [fetched, unfetched] = [report(chen, "LOST.1"), report(lin, "LOST.2")];

test("reports that were registered are registered anew: who has one keeps it, who has not gets it", async () => {
  exchange = await openExchange(await testPki());
  const { folder, message, admin, messagesAtB, documentsAtB } = exchange;
  const admit = (patient: typeof chen, id: string) =>
    message(adtFor(`${patient.national}^^^MOI^NI`, { controlId: id }), "B_ADT");
  const send = async (): Promise<void> => {
    await message(mdmFor(fetched, { controlId: "M1" }));
    await message(mdmFor(unfetched, { controlId: "M2", patient: lin }));
  };
  await send();
  await exchange.registered(2);
  await admit(chen, "ADT1");
  await messagesAtB(1);
  const trace = (id: string) => admin("hospital-a").get<Traced>(`/trace/${id}`);
  await until("it is proven", async () => (await trace("M1")).steps.some(({ event }) => event === "receipted"));

  await exchange.stop("hospital-a");
  rmSync(join(folder, "data", "hospital-a"), { recursive: true });
  await exchange.start("hospital-a");
  await send();
  for (const id of ["M1", "M2"])
    await until(`${id} is registered`, async () => (await trace(id)).deliveries[0]?.state === "delivered");
  await admit(lin, "ADT2");
  await messagesAtB(2);
  await admit(chen, "ADT3");
  const answer = async () =>
    (await admin("hospital-b").get<Traced>("/trace/ADT3")).steps.find(({ event }) => event === "answered");
  await until("hospital B has asked again", async () => (await answer()) !== undefined);
  expect((await answer())?.detail).toBe("1 entries, 0 new");
  expect([...documentsAtB()].toSorted()).toEqual([sha256(fetched), sha256(unfetched)].toSorted());
  // Nothing of it waits for a person.
  const { deliveries } = await admin("hospital-b").get<{ deliveries: { state: string }[] }>("/journal");
  expect(deliveries.filter(({ state }) => state === "parked")).toEqual([]);
});
