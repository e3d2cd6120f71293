/** A push that waits for its house while its report is replaced, by one that is not pushed there. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Traced } from "../../commands/journal/trace.ts";
import { cancelFor, mdmFor } from "../fixtures/documents.ts";
import { openExchange, type TestExchange, testPki, until } from "../sites.ts";
import { report } from "./two-authors.ts";

let exchange: TestExchange;
const route = "route: [repository, hospital-b]";
beforeAll(async () => {
  exchange = await openExchange(await testPki(), { RETRY: "100ms" }, (yaml) =>
    yaml.replaceAll("route: [repository]", route),
  );
});
afterAll(() => exchange.close());

test("the house gets the report and what replaces it, and is told once of what becomes of that", async () => {
  const a = exchange.admin("hospital-a");
  await a.post("/stops/hospital-b/pause", { reason: "its line is down" });
  await exchange.message(mdmFor(report("P.1"), { controlId: "M1", name: "D1^HIS" }));
  await exchange.registered(1);
  const file = join(exchange.folder, "hospital-a.yaml");
  writeFileSync(file, readFileSync(file, "utf8").replaceAll(route, "route: [repository]"));
  await a.post("/reload", {});
  const names = { controlId: "M2", event: "MDM^T10^MDM_T02", name: "D2^HIS", parent: "D1^HIS" };
  await exchange.message(mdmFor(report("P.2"), names));
  await exchange.registered(2);
  await a.post("/stops/hospital-b/resume", { reason: "it is up" });
  await exchange.messagesAtB(2);
  await exchange.message(cancelFor("M3", "D2^HIS"));
  const types = (await exchange.messagesAtB(3)).map((message) => message.toString("utf8").split("|")[8]?.slice(0, 7));
  expect(types.sort()).toEqual(["MDM^T02", "MDM^T10", "MDM^T11"]);
  const told = async () => (await a.get<Traced>("/trace/M2")).deliveries.filter(({ kind }) => kind === "notify");
  await until("told", async () => (await told()).every(({ state }) => state === "delivered"));
  expect((await told()).map(({ destination }) => destination)).toEqual(["hospital-b", "hospital-b"]);
});
