/** `route: [hospital-b]`: a house that pushes and registers nothing has nothing to change at the registry, and no entry to name. */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Traced } from "../../commands/journal/trace.ts";
import { cancelFor, mdmFor } from "../fixtures/documents.ts";
import { openExchange, type TestExchange, testPki, until } from "../sites.ts";
import { report } from "./two-authors.ts";

let exchange: TestExchange;
beforeAll(async () => {
  exchange = await openExchange(await testPki(), { RETRY: "100ms" }, (yaml) =>
    yaml.replaceAll("route: [repository]", "route: [hospital-b]"),
  );
});
afterAll(() => exchange.close());

const sentToB = async (controlId: string) =>
  (await exchange.admin("hospital-a").get<Traced>(`/trace/${controlId}`)).deliveries.map(
    ({ kind, state }) => `${kind} ${state}`,
  );
const pushed = (controlId: string) =>
  until("pushed", async () => (await sentToB(controlId)).includes("push delivered"));
/** What HIS B got, in its order. */
const atHisB = async (count: number) =>
  (await exchange.messagesAtB(count)).map((message) => message.toString("utf8").split("|")[8]?.slice(0, 7));

test("a report that is replaced, and then cancelled, leaves nothing that waits for the registry", async () => {
  await exchange.message(mdmFor(report("P.1"), { controlId: "M1", name: "D1^HIS" }));
  await pushed("M1");
  const names = { controlId: "M2", event: "MDM^T10^MDM_T02", name: "D2^HIS", parent: "D1^HIS" };
  await exchange.message(mdmFor(report("P.2"), names));
  await pushed("M2");
  expect(await sentToB("M2")).toEqual(["push delivered"]);
  await exchange.message(cancelFor("M3", "D2^HIS"));
  await until("told", async () => (await sentToB("M2")).includes("notify delivered"));
  expect(await sentToB("M2")).toEqual(["push delivered", "notify delivered"]);
  expect((await atHisB(3)).sort()).toEqual(["MDM^T02", "MDM^T10", "MDM^T11"]);
});
