/** `identity: ours` and a reload: what waits meanwhile does not go as it was sealed. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import {
  admission,
  delivered,
  exchange,
  identifiedHouses,
  numbersAtPacs,
  ours,
  parked,
  provided,
} from "./identified.ts";
import { until } from "./sites.ts";

identifiedHouses();

test("it is parked, and goes as this house's own once the system is put back and a person releases it", async () => {
  await provided((yaml) =>
    ours(yaml).replace("{ to: pacs, identity: ours }", "{ to: pacs, identity: ours }   # the PACS"),
  );
  const b = exchange.admin("hospital-b");
  const file = join(exchange.folder, "hospital-b.yaml");
  const before = readFileSync(file, "utf8");
  await b.post("/stops/pacs/pause", { reason: "it moves" });
  await exchange.message(admission("ADT1"), "B_ADT");
  await exchange.messagesAtB(1);
  writeFileSync(file, before.replace(/\n.*# the PACS/, ""));
  await b.post("/reload", {});
  await b.post("/stops/pacs/resume", { reason: "it has moved" });
  await until("parked", async () => (await parked()).length === 1 || exchange.instancesAtB().size > 0);
  expect(exchange.instancesAtB().size).toBe(0);
  expect(await parked()).toMatchObject([{ kind: "study", code: "CONFIG_INVALID" }]);
  writeFileSync(file, before);
  await b.post("/reload", {});
  await b.post(`/journal/${(await parked())[0]?.id}/release`, { reason: "it is back" });
  await delivered();
  expect(numbersAtPacs()).toEqual(["", "B990011", "HOSPB"]);
});

test("what waits while its channel begins to say identity: ours is parked, and goes as it was sealed once a person says so", async () => {
  await provided((yaml) => yaml.replaceAll(/\{ to: pacs, identity: original, because: "[^"]*" \}/g, "$&   # the PACS"));
  const b = exchange.admin("hospital-b");
  const file = join(exchange.folder, "hospital-b.yaml");
  await b.post("/stops/pacs/pause", { reason: "it moves" });
  await exchange.message(admission("ADT1"), "B_ADT");
  await exchange.messagesAtB(1);
  writeFileSync(
    file,
    readFileSync(file, "utf8").replace(/\{ to: pacs, identity: original.*# the PACS/, "{ to: pacs, identity: ours }"),
  );
  await b.post("/reload", {});
  await b.post("/stops/pacs/resume", { reason: "it has moved" });
  await until("parked", async () => (await parked()).length === 1 || exchange.instancesAtB().size > 0);
  expect(exchange.instancesAtB().size).toBe(0);
  expect(await parked()).toMatchObject([{ kind: "study", code: "PATIENT_UNKNOWN" }]);
  await b.post(`/journal/${(await parked())[0]?.id}/release`, { reason: "the same person" });
  await delivered();
  expect(exchange.instancesAtB().size).toBeGreaterThan(0);
});
