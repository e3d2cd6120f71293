/** Two patients who were merged and are two (ADT^A37): neither is found, or delivered, under the other any more. */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Traced } from "../commands/journal/trace.ts";
import { writeCommand } from "../formats/command.ts";
import { type Asking, openAsking } from "./exchange/asking.ts";
import { adtFor, cda, chen, mdmFor } from "./fixtures/documents.ts";
import { type SiteName, sha256, type TestExchange, until } from "./sites.ts";

let exchange: TestExchange;
let asking: Asking;
beforeAll(async () => {
  ({ exchange, asking } = await openAsking());
});
afterAll(() => exchange.close());

const chart = `${chen.chart}^^^HOSPA^MR`;
const another = "0099999^^^HOSPA^MR";
const report = (extension: string): Uint8Array =>
  cda({ form: "113", extension, patient: chen, code: "11502-2", display: "x", title: "檢驗報告", body: extension });
/** Segments after EVN as they are. */
const adt = (controlId: string, event: string, ...rest: readonly string[]) => {
  const head = `MSH|^~\\&|HIS|HOSP|SEMRS|HOSP|20260119080000+0800||ADT^${event}|${controlId}|P|2.5.1||||||UNICODE UTF-8`;
  return exchange.message(Buffer.from([head, `EVN|${event}|20260119080000`, ...rest, ""].join("\r")));
};
const pid = (ids: string): string => `PID|1||${ids}||${chen.hl7Name}||${chen.birth}|${chen.sex}`;
const merge = (controlId: string) => adt(controlId, "A40^ADT_A39", pid(another), `MRG|${chart}`);
const unlink = (controlId: string, one = another, other = chart) =>
  adt(controlId, "A37^ADT_A37", pid(one), "PD1|", pid(other));
const trace = (id: string, site: SiteName = "hospital-a"): Promise<Traced> =>
  exchange.admin(site).get<Traced>(`/trace/${id}`);
const isTold = (id: string, event: string) => async (): Promise<boolean> =>
  (await trace(id)).steps.some((step) => step.station === "route" && step.event === event);
/** How many an admission at hospital B under the other number finds. */
async function found(id: string): Promise<string | null | undefined> {
  await exchange.message(adtFor(another, { controlId: id }), "B_ADT");
  const answer = async () =>
    (await trace(id, "hospital-b")).steps.find(({ station, event }) => station === "fetch" && event === "answered");
  await until(`${id} is answered`, async () => (await answer()) !== undefined);
  return (await answer())?.detail;
}

test("a search under the one finds nothing of the other, and a report that names the other is another patient's", async () => {
  await exchange.message(mdmFor(report("UNMERGED.1"), { controlId: "M1" }));
  await exchange.registered(1);
  await merge("MERGE");
  await until("the registry knows of one", isTold("MERGE", "merged"));
  expect(await unlink("UNLINK")).toMatchObject({ state: "delivered", detail: "AA" });
  expect((await trace("UNLINK")).arrivals[0]).toMatchObject({ state: "done", code: "UNMERGED" });
  await until("the registry knows of two", isTold("UNLINK", "unmerged"));
  expect(await found("ADT1")).toBe("0 entries, 0 new");
  expect(await exchange.message(mdmFor(report("UNMERGED.2"), { controlId: "M2", identifiers: another }))).toMatchObject(
    { detail: "AE 204" },
  );
});

test("merged again while the registry is away, taken back, and merged: the last one counts", async () => {
  await exchange.stop("registry");
  await merge("MERGE2");
  await unlink("UNLINK2");
  await merge("MERGE3");
  await exchange.start("registry");
  await until("all is told", isTold("MERGE3", "merged"));
  expect((await trace("UNLINK2")).steps.map(({ event }) => event)).toContain("unmerged");
  // New to ADT2, or to ADT1, which asks again after a while.
  expect(await found("ADT2")).toMatch(/^1 entries, /);
  await until("it is at HIS B", () => exchange.documentsAtB().has(sha256(report("UNMERGED.1"))));
});

test.each([
  ["of numbers whose authority nobody knows", "1^^^X^MR", "2^^^X^MR", "filtered", "MERGE_NOT_COMPARABLE"],
  ["of one number", another, another, "filtered", "MERGE_NOT_COMPARABLE"],
  ["of another house's numbers", "1^^^HOSPB^MR", "2^^^HOSPB^MR", "done", "UNMERGED_HERE"],
])("one %s: %s and %s are %s %s", async (what, one, other, state, code) => {
  expect(await unlink(what, one, other)).toMatchObject({ detail: "AA" });
  const { arrivals, deliveries } = await trace(what);
  expect([arrivals[0], deliveries]).toMatchObject([{ state, code }, []]);
});

test("one of a single patient is no unlink", async () => {
  expect(await adt("ONE", "A37^ADT_A37", pid(another))).toMatchObject({ detail: expect.stringMatching(/^AE/) });
  expect((await trace("ONE")).arrivals[0]).toMatchObject({ code: "HL7_MALFORMED" });
});

test("90 only who gives both ids takes it back at the registry", async () => {
  const root = "2.16.886.104.100565";
  const merges = [{ prior: { root, extension: chen.chart }, surviving: { root, extension: "0099999" } }];
  const command = writeCommand<"change">({ command: "change", action: "unmerge", merges });
  expect((await asking.ask("hospital-b", "change", command)).refusal?.code).toBe("NOT_PERMITTED");
  expect((await asking.ask("hospital-a", "change", command)).status).toBe(200);
});
