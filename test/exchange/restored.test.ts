/**
 * The registry is restored from yesterday's backup: it has forgotten what it signed since, and the houses find out by the heads of
 * its audit log that they hold. What it lost is registered again, and other houses find it.
 */
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Traced } from "../../commands/journal/trace.ts";
import type { ConsentLine } from "../../pipeline/consents.ts";
import { backUp, restore } from "../../store/backup.ts";
import { adtFor, cancelFor, cda, chen, mdmFor } from "../fixtures/documents.ts";
import { openExchange, sha256, type TestExchange, testPki, until } from "../sites.ts";

let pki: string;
let exchange: TestExchange;
let backup: string;
beforeEach(async () => {
  pki ??= await testPki();
  exchange = await openExchange(pki, { RETRY: "100ms" });
  backup = join(exchange.folder, "backup");
});
afterEach(() => exchange.close());

const report = (extension: string) =>
  cda({ form: "113", extension, patient: chen, code: "11502-2", display: "x", title: "t", body: "x" });
const data = (): string => join(exchange.folder, "data", "registry");
const send = (name: string) => exchange.message(mdmFor(report(name), { controlId: name, name: `${name}^HIS` }));
const admit = (controlId: string) => exchange.message(adtFor(`${chen.national}^^^MOI^NI`, { controlId }), "B_ADT");
const atB = (name: string): boolean => exchange.documentsAtB().has(sha256(report(name)));
const logged = (site: string, event: string): number =>
  exchange.log.filter((line) => line.site === site && line.event === event).length;
const isRegistered = async (name: string): Promise<boolean> => {
  const { records, deliveries } = await exchange.admin("hospital-a").get<Traced>(`/trace/${name}`);
  return records[0]?.state === "registered" && deliveries.every(({ state }) => state === "delivered");
};
const registered = (...names: readonly string[]): Promise<void> =>
  until(`${names} registered`, async () => (await Promise.all(names.map(isRegistered))).every((each) => each));

/** The data folder as it was when the backup was taken; `meanwhile` is done once it serves again. */
async function yesterdays(): Promise<void> {
  await exchange.stop("registry");
  rmSync(data(), { recursive: true });
  restore(backup, data(), Buffer.from(readFileSync(join(pki, "registry", "storage.key"), "utf8").trim(), "hex"));
  await exchange.start("registry");
}

test("the next answer shows a log that has become shorter: all that came since is registered again, and what was cancelled stays so", async () => {
  await send("KEPT");
  await registered("KEPT");
  backUp(data(), backup, "registry", new Date());
  const lost = ["LOST1", "LOST2", "LOST3", "LOST4"];
  for (const name of lost) {
    await send(name);
    await registered(name);
  }
  await send("CANCELLED");
  await registered("CANCELLED");
  await exchange.message(cancelFor("TAKEN_BACK", "CANCELLED^HIS"));
  await until("deprecated", () => logged("registry", "registry.changed") === 1);
  await registered("CANCELLED");

  await yesterdays();
  const before = logged("registry", "registry.registered");
  await send("NEXT");
  await until("found out", () => logged("hospital-a", "route.lost") === 1);
  await registered("NEXT", "CANCELLED", ...lost);
  await until("cancelled there, too", () => logged("registry", "registry.changed") === 2);
  expect(logged("registry", "registry.registered")).toBeGreaterThan(before + 1);
  expect(logged("hospital-a", "route.parked")).toBe(0);

  await admit("ADT1");
  await until("hospital B finds them", () => ["KEPT", "NEXT", ...lost].every(atB));
  expect(atB("CANCELLED")).toBe(false);
  expect(logged("hospital-a", "route.lost")).toBe(1);
});

/** Until it has asked the registry for its heads, as at each start. */
async function restartA(): Promise<void> {
  const asked = () =>
    exchange.log.filter(({ event, fields }) => event === "registry.answered" && fields.peer === "hospital-a").length;
  const before = asked();
  await exchange.stop("hospital-a");
  await exchange.start("hospital-a");
  await until("asked at the start", () => asked() > before);
}

test("a log that has grown beyond what it was is found out by the question for its heads, once, and the loss is audited", async () => {
  backUp(data(), backup, "registry", new Date());
  await send("LOST");
  await registered("LOST");
  await exchange.stop("hospital-a");
  await yesterdays();
  for (let n = 0; n < 8; n += 1) await admit(`ADT${n}`);
  // Eight questions and what is asked again: more entries than hospital A has seen of it.
  await until("the log is longer", () => logged("registry", "registry.answered") >= 12);
  expect(atB("LOST")).toBe(false);

  await exchange.start("hospital-a");
  await until("found out", () => logged("hospital-a", "route.lost") === 1);
  await registered("LOST");
  await admit("ADT9");
  await until("hospital B finds it", () => atB("LOST"));

  // What was made good is not found out again.
  await restartA();
  await send("AFTER");
  await registered("AFTER");
  expect(logged("hospital-a", "route.lost")).toBe(1);
  const entries: string[] = [];
  for await (const chunk of await exchange.admin("hospital-a").download("/audit", { reason: "a test" }))
    entries.push(Buffer.from(chunk).toString());
  const losses = entries
    .join("")
    .split("\n")
    .filter((line) => line.includes('"event":"loss"'));
  expect(losses.map((line) => JSON.parse(line))).toMatchObject([{ peer: "registry", outcome: "failed", count: 1 }]);
});

test("a log that has grown beyond what a running house knows of it hides its loss behind no newer head", async () => {
  backUp(data(), backup, "registry", new Date());
  await send("LOST");
  await registered("LOST");
  await restartA();

  await yesterdays();
  for (let n = 0; n < 8; n += 1) await admit(`ADT${n}`);
  await until("the log is longer", () => logged("registry", "registry.answered") >= 12);
  await send("NEXT");
  await registered("NEXT");
  expect(logged("hospital-a", "route.lost")).toBe(0);
  await restartA();
  await until("found out", () => logged("hospital-a", "route.lost") === 1);
  await registered("LOST", "NEXT");
  await admit("ADT9");
  await until("hospital B finds it", () => atB("LOST"));
});

test("a cancellation of what the registry has lost waits until that is registered again, and nobody has to release it", async () => {
  backUp(data(), backup, "registry", new Date());
  await send("LOST");
  await registered("LOST");
  await yesterdays();
  await exchange.message(cancelFor("TAKEN_BACK", "LOST^HIS"));
  await until("found out", () => logged("hospital-a", "route.lost") === 1);
  await registered("LOST");
  await until("cancelled there, too", () => logged("registry", "registry.changed") === 1);
  expect(logged("hospital-a", "route.parked")).toBe(0);
  await admit("ADT");
  await until("answered", () =>
    exchange.log.some(({ event, fields }) => event === "fetch.answered" && fields.count === 0),
  );
  expect(atB("LOST")).toBe(false);
});

test("consents that were lost are told again, and behind them the one that waited: the last that was said decides", async () => {
  await send("PRIVATE");
  await registered("PRIVATE");
  backUp(data(), backup, "registry", new Date());
  const patientIds = [{ root: "2.16.886.104.100565", extension: chen.chart }];
  const tell = (decision: string) =>
    exchange.admin("hospital-a").post("/consents", { patientIds, decision, reason: "a test" });
  const states = async (): Promise<readonly string[]> =>
    (await exchange.admin("hospital-a").post<readonly ConsentLine[]>("/consents/search", { patientIds })).map(
      ({ state, decision }) => `${decision} ${state}`,
    );
  const are = (...expected: readonly string[]): Promise<void> =>
    until(expected.join(), async () => (await states()).join() === expected.join());
  await tell("share");
  await are("share delivered");
  const stop = (verb: string) => exchange.admin("hospital-a").post(`/stops/registry/${verb}`, { reason: "a test" });
  await stop("pause");
  await tell("withhold");
  await are("withhold queued", "share delivered");
  await yesterdays();
  await exchange.stop("hospital-a");
  await exchange.start("hospital-a");
  await until("found out", () => logged("hospital-a", "route.lost") === 1);
  await are("withhold queued", "share queued", "withhold queued", "share delivered");
  await stop("resume");
  await until("all are told", async () => (await states()).every((each) => each.endsWith("delivered")));
  await admit("ADT_LATER");
  await until("answered", () =>
    exchange.log.some(
      ({ site, event, fields }) => site === "hospital-b" && event === "fetch.answered" && fields.count === 0,
    ),
  );
  expect(atB("PRIVATE")).toBe(false);
});

test("a merge that was lost is told again, and behind it what waited to take it back", async () => {
  await send("OTHERS");
  await registered("OTHERS");
  backUp(data(), backup, "registry", new Date());
  const number = "0099999^^^HOSPA^MR";
  const pid = (id: string): string => `PID|1||${id}||${chen.hl7Name}||${chen.birth}|${chen.sex}`;
  const chart = `${chen.chart}^^^HOSPA^MR`;
  const tell = (event: string, ...rest: readonly string[]) => {
    const head = `MSH|^~\\&|HIS|HOSP|SEMRS|HOSP|20260119080000+0800||ADT^${event}|${event}|P|2.5.1`;
    return exchange.message(Buffer.from([head, `EVN|${event}|20260119080000`, ...rest, ""].join("\r")));
  };
  await tell("A40", pid(number), `MRG|${chart}`);
  await until("merged there", () => logged("registry", "registry.merged") === 1);
  const stop = (verb: string) => exchange.admin("hospital-a").post(`/stops/registry/${verb}`, { reason: "a test" });
  await stop("pause");
  await tell("A37", pid(number), pid(chart));
  await yesterdays();
  await exchange.stop("hospital-a");
  await exchange.start("hospital-a");
  await until("found out", () => logged("hospital-a", "route.lost") === 1);
  await stop("resume");
  const count = async () =>
    (await exchange.admin("hospital-a").get<{ deliveries: Record<string, number> }>("/counts")).deliveries;
  await until("all is told", async () => Object.keys(await count()).join() === "delivered");
  expect(logged("registry", "registry.unmerged")).toBe(2);
  await exchange.message(adtFor(number, { controlId: "ADT_LATER" }), "B_ADT");
  await until("answered", () =>
    exchange.log.some(({ event, fields }) => event === "fetch.answered" && fields.count === 0),
  );
  expect(atB("OTHERS")).toBe(false);
});
