/** Corrections travel (decision 9): what HIS A cancels or replaces, before and after it was sealed, and what HIS B gets of it. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Traced } from "../commands/journal/trace.ts";
import { adtFor, cancelFor, cda, chen, mdmFor } from "./fixtures/documents.ts";
import { openExchange, sha256, type TestExchange, testPki, until } from "./sites.ts";

let pki: string;
beforeAll(async () => {
  pki = await testPki();
});
let exchange: TestExchange;
beforeEach(async () => {
  exchange = await openExchange(pki, { RETRY: "100ms" });
});
afterEach(() => exchange.close());

const report = (extension: string): Uint8Array =>
  cda({
    form: "113",
    extension,
    patient: chen,
    code: "11502-2",
    display: "x",
    title: "檢驗報告",
    body: `<paragraph>${extension}</paragraph>`,
  });
const send = (message: Uint8Array) => exchange.message(message);
const admit = (controlId = "ADT1") => exchange.message(adtFor(`${chen.national}^^^MOI^NI`, { controlId }), "B_ADT");
const trace = (id: string, site: "hospital-a" | "hospital-b" = "hospital-a"): Promise<Traced> =>
  exchange.admin(site).get<Traced>(`/trace/${id}`);
const registered = (controlId: string): Promise<void> =>
  until("registered", async () => (await trace(controlId)).records.some(({ state }) => state === "registered"));
const delivered = (bytes: Uint8Array): Promise<void> =>
  until("at HIS B", () => exchange.documentsAtB().has(sha256(bytes)));
/** Sent, asked for at B, and replaced. */
async function replaced(before: Uint8Array, after: Uint8Array): Promise<void> {
  await send(mdmFor(before, { controlId: "M1", name: "DOC1^HIS" }));
  await registered("M1");
  await admit();
  await delivered(before);
  await send(mdmFor(after, { controlId: "M2", event: "MDM^T10^MDM_T02", name: "DOC2^HIS", parent: "DOC1^HIS" }));
  await delivered(after);
}
/** Messages that HIS B took, as text, by MSH-9. */
const atHisB = (type: string): readonly string[] =>
  readdirSync(exchange.receivers.his.folder)
    .filter((name) => name.endsWith(".hl7"))
    .map((name) => readFileSync(join(exchange.receivers.his.folder, name), "utf8"))
    .filter((message) => message.split("|")[8]?.startsWith(type));
const approved = async (): Promise<number> => {
  const answers = exchange.log.filter(({ site, event }) => site === "registry" && event === "registry.answered");
  return answers.at(-1)?.fields.count ?? -1;
};
/** Whether A has nothing under way. */
const isQuiet = async (): Promise<boolean> => {
  const { deliveries } = await exchange.admin("hospital-a").get<{ deliveries: Record<string, number> }>("/counts");
  return (deliveries.queued ?? 0) + (deliveries.inflight ?? 0) + (deliveries.ambiguous ?? 0) === 0;
};

describe("cancelled", () => {
  test("after HIS B got it: the entry is deprecated, HIS B gets MDM^T11 with the same TXA-12, nobody finds it any more", async () => {
    const bytes = report("CANCEL.1");
    await send(mdmFor(bytes, { controlId: "M1", name: "DOC1^HIS" }));
    await registered("M1");
    await admit();
    await delivered(bytes);
    expect(await send(cancelFor("M2", "DOC1^HIS"))).toMatchObject({ state: "delivered", detail: "AA" });
    await until("HIS B is told", () => atHisB("MDM^T11").length === 1);
    const [told = ""] = atHisB("MDM^T11");
    const [before = ""] = atHisB("MDM^T02");
    const txa = (message: string) => /\rTXA\|([^\r]*)/.exec(message)?.[1]?.split("|")[11];
    expect(txa(told)).toBe(txa(before));
    expect(told).not.toContain("\rOBX|");
    await until("deprecated", async () =>
      (await trace("M1")).steps.some(({ station, event }) => station === "route" && event === "deprecated"),
    );
    expect((await trace("M2")).arrivals[0]).toMatchObject({ state: "done", code: "CANCELLED" });
    await admit("ADT2");
    await until("asked again", async () => (await approved()) === 0);
  });

  test("told twice, and after a restart of both houses, HIS B gets one MDM^T11", async () => {
    const bytes = report("CANCEL.2");
    await send(mdmFor(bytes, { controlId: "M1", name: "DOC1^HIS" }));
    await registered("M1");
    await admit();
    await delivered(bytes);
    await exchange.stop("hospital-b");
    await send(cancelFor("M2", "DOC1^HIS"));
    await until("told in vain", () =>
      exchange.log.some(({ event, fields }) => event === "route.deferred" && fields.peer === "hospital-b"),
    );
    await exchange.stop("hospital-a");
    await exchange.start("hospital-a");
    await exchange.start("hospital-b");
    await until("HIS B is told", () => atHisB("MDM^T11").length === 1);
    await send(cancelFor("M3", "DOC1^HIS"));
    await until("settled", async () => (await trace("M3")).arrivals[0]?.state === "done");
    await until("nothing is under way", isQuiet);
    expect(atHisB("MDM^T11")).toHaveLength(1);
  });

  test("before it came: the report is acknowledged, and never sealed", async () => {
    expect(await send(cancelFor("M1", "DOC9^HIS"))).toMatchObject({ state: "delivered", detail: "AA" });
    expect((await trace("M1")).arrivals[0]).toMatchObject({ code: "CANCELLED_AHEAD" });
    expect(await send(mdmFor(report("AHEAD.1"), { controlId: "M2", name: "DOC9^HIS" }))).toMatchObject({
      detail: "AA",
    });
    const { arrivals, documents } = await trace("M2");
    expect(arrivals[0]).toMatchObject({ state: "filtered", code: "CANCELLED" });
    expect(documents).toEqual([]);
  });

  test("the id of the document itself, as an entity identifier, names it too", async () => {
    await send(mdmFor(report("BYID.1"), { controlId: "M1", name: "DOC1^HIS" }));
    await send(cancelFor("M2", "BYID.1^^2.16.886.104.100565.100008^ISO"));
    expect((await trace("M2")).arrivals[0]).toMatchObject({ code: "CANCELLED" });
  });

  test("a cancellation that names nothing is refused", async () => {
    expect(await send(cancelFor("M1", ""))).toMatchObject({ state: "refused", detail: "AE 100" });
  });
});

describe("replaced", () => {
  test("HIS B gets the replacement as MDM^T10, without asking, and the one before is found no more", async () => {
    const [before, after] = [report("REPLACED.1"), report("REPLACED.2")];
    await replaced(before, after);
    await until("told", () => atHisB("MDM^T10").length > 0);
    const [told = ""] = atHisB("MDM^T10");
    expect(told).toContain("REPLACED.1");
    expect(atHisB("MDM^T10")).toHaveLength(1);
    await admit("ADT2");
    await until("asked again", async () => (await approved()) === 1);
  });
});

test("a report that is replaced twice while a house that has it is away comes there as it was replaced", async () => {
  await exchange.close();
  exchange = await openExchange(pki, { RETRY: "100ms", AGAIN_1: "1h", AGAIN_2: "1h", AGAIN_3: "1h" });
  const [first, second, third] = [report("TWICE.1"), report("TWICE.2"), report("TWICE.3")];
  await send(mdmFor(first, { controlId: "M1", name: "DOC1^HIS" }));
  await registered("M1");
  await admit();
  await delivered(first);
  await exchange.stop("hospital-b");
  await send(mdmFor(second, { controlId: "M2", event: "MDM^T10^MDM_T02", name: "DOC2^HIS", parent: "DOC1^HIS" }));
  await registered("M2");
  await send(mdmFor(third, { controlId: "M3", event: "MDM^T10^MDM_T02", name: "DOC3^HIS", parent: "DOC2^HIS" }));
  await registered("M3");
  await exchange.start("hospital-b");
  await delivered(second);
  await delivered(third);
  await until("both replace another", () => atHisB("MDM^T10").length === 2);
});

test("a report that is replaced between the registry's answer and its retrieval comes with the one that replaces it", async () => {
  await exchange.close();
  exchange = await openExchange(pki, { RETRY: "100ms", AGAIN_1: "1h", AGAIN_2: "1h", AGAIN_3: "1h" });
  const [before, after] = [report("BETWEEN.1"), report("BETWEEN.2")];
  await send(mdmFor(before, { controlId: "M1", name: "DOC1^HIS" }));
  await registered("M1");
  const b = exchange.admin("hospital-b");
  await b.post("/stops/hospital-a/pause", { reason: "its line is down" });
  await admit();
  await until("answered", async () =>
    (await trace("ADT1", "hospital-b")).steps.some(({ event }) => event === "answered"),
  );
  await send(mdmFor(after, { controlId: "M2", event: "MDM^T10^MDM_T02", name: "DOC2^HIS", parent: "DOC1^HIS" }));
  await registered("M2");
  await b.post("/stops/hospital-a/resume", { reason: "it is up" });
  await delivered(before);
  await delivered(after);
});

test("a HIS that takes results only gets ORU^R01: final, then corrected, then withdrawn", async () => {
  await exchange.close();
  exchange = await openExchange(pki, { RETRY: "100ms" }, (yaml) =>
    yaml.replace(
      "new: MDM^T02, addendum: MDM^T06, replacement: MDM^T10, cancel: MDM^T11",
      "new: ORU^R01, addendum: ORU^R01, replacement: ORU^R01, cancel: ORU^R01",
    ),
  );
  const [before, after] = [report("ORU.1"), report("ORU.2")];
  await replaced(before, after);
  await send(cancelFor("M3", "DOC2^HIS"));
  await until("withdrawn", () => atHisB("ORU^R01").length === 3);
  const status = (message: string) => /\rOBX\|1\|[^\r]*/.exec(message)?.[0].split("|")[11];
  expect(atHisB("ORU^R01").map(status).sort()).toEqual(["C", "F", "X"]);
});

describe("pushed", () => {
  const pushing = async (): Promise<void> => {
    await exchange.close();
    exchange = await openExchange(pki, { RETRY: "100ms" }, (yaml) =>
      yaml.replaceAll("route: [repository]", "route: [repository, hospital-b]"),
    );
  };

  test("a report that was pushed is cancelled there as well", async () => {
    await pushing();
    const bytes = report("PUSHED.1");
    await send(mdmFor(bytes, { controlId: "M1", name: "DOC1^HIS" }));
    await delivered(bytes);
    await until("receipted", async () => (await trace("M1")).steps.some(({ event }) => event === "receipted"));
    await send(cancelFor("M2", "DOC1^HIS"));
    await until("HIS B is told", () => atHisB("MDM^T11").length === 1);
  });

  test("a push that waits for its partner does not go out any more", async () => {
    await pushing();
    await exchange.stop("hospital-b");
    await send(mdmFor(report("PUSHED.2"), { controlId: "M1", name: "DOC1^HIS" }));
    await until("tried in vain", () =>
      exchange.log.some(({ event, fields }) => event === "route.deferred" && fields.peer === "hospital-b"),
    );
    expect(await send(cancelFor("M2", "DOC1^HIS"))).toMatchObject({ detail: "AA" });
    await exchange.start("hospital-b");
    await until("nothing is under way", isQuiet);
    expect([atHisB("MDM^T02").length, exchange.documentsAtB().size]).toEqual([0, 0]);
    expect((await trace("M1")).deliveries.find(({ kind }) => kind === "push")).toMatchObject({
      state: "discarded",
      code: "CANCELLED",
    });
  });
});

test("a replacement that is registered before its original leaves one of them to be found", async () => {
  await exchange.stop("registry");
  await send(mdmFor(report("ORDER.1"), { controlId: "M1", name: "DOC1^HIS" }));
  await send(
    mdmFor(report("ORDER.2"), { controlId: "M2", event: "MDM^T10^MDM_T02", name: "DOC2^HIS", parent: "DOC1^HIS" }),
  );
  await until("both wait", async () =>
    (await Promise.all([trace("M1"), trace("M2")])).every(({ records }) => records.length === 1),
  );
  await exchange.start("registry");
  await registered("M1");
  await registered("M2");
  await admit();
  await until("asked", async () => (await approved()) === 1);
  await delivered(report("ORDER.2"));
});

test("ORIGINAL_UNKNOWN: a replacement that names nothing of ours travels, and says so", async () => {
  await send(mdmFor(report("ALONE.1"), { controlId: "M1", event: "MDM^T10^MDM_T02", parent: "NEVER^HIS" }));
  await registered("M1");
  expect((await trace("M1")).steps.find(({ station }) => station === "validate")?.detail).toBe("ORIGINAL_UNKNOWN");
});
