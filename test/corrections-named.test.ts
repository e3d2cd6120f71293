/** A HIS that keeps one TXA-12 for all versions of a report, or uses that of a cancelled one anew: TXA-13 means the one that stands. */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { DocumentFacts } from "../pipeline/validate.ts";
import { cancelFor, cda, chen, mdmFor } from "./fixtures/documents.ts";
import { acksIn, type House, openHouse } from "./house.ts";
import { testPki, until } from "./sites.ts";

let house: House;
beforeAll(async () => {
  house = await openHouse(await testPki());
});
afterAll(() => house.close());

const itemOf = (controlId: string) => {
  const row = house.store.arrivals.list({ limit: 100 }).find((each) => each.controlId === controlId);
  return house.store.items.byArrival(row?.id ?? "")[0];
};
/** A report whose TXA-12 is `name`, once it has left; to which of the others it is related. */
async function send(controlId: string, trigger: string, name: string, parent?: string): Promise<readonly string[]> {
  const report = { form: "113", extension: controlId, code: "11502-2", display: "x", title: "t", body: "x" };
  const names = { name, ...(parent ? { parent } : {}) };
  const event = `MDM^${trigger}^MDM_T02`;
  const message = mdmFor(cda({ ...report, patient: chen }), { controlId, event, ...names });
  expect(acksIn(await house.ask(message))).toEqual([`AA ${controlId}`]);
  await until("it has left", () => itemOf(controlId)?.state === "sealed");
  const { facts } = itemOf(controlId) ?? expect.fail("it was kept");
  return (facts as DocumentFacts).entry.relatedDocuments.map(
    ({ type, uniqueId }) => `${type} ${uniqueId.split("^").at(-1)}`,
  );
}

test("one name for all versions: each replaces the one before, and an addendum is to the last", async () => {
  await send("ONE.1", "T02", "ONE");
  expect(await send("ONE.2", "T10", "ONE", "ONE")).toEqual(["RPLC ONE.1"]);
  expect(await send("ONE.3", "T10", "ONE", "ONE")).toEqual(["RPLC ONE.2"]);
  expect(await send("ONE.4", "T06", "ONE", "ONE")).toEqual(["APND ONE.3"]);
  expect(await send("ONE.5", "T10", "ONE", "ONE")).toEqual(["RPLC ONE.3"]);
});

test("the name of a report that was cancelled: what comes under it next is replaced, and not the cancelled one", async () => {
  await send("NEXT.1", "T02", "NEXT");
  await house.ask(cancelFor("NEXT.2", "NEXT"));
  await send("NEXT.3", "T02", "NEXT");
  expect(await send("NEXT.4", "T10", "OTHER", "NEXT")).toEqual(["RPLC NEXT.3"]);
});
