/** Merges of patients (ADT^A40, A34, A18): before and after their records were sealed, at the house that has them and at the one that fetches. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import type { Traced } from "../commands/journal/trace.ts";
import { ctStudy } from "./fixtures/dicom.ts";
import { adtFor, cda, chen, documents, mdmFor } from "./fixtures/documents.ts";
import { openExchange, type SiteName, sha256, type TestExchange, testPki, until } from "./sites.ts";

let pki: string;
let exchange: TestExchange;
beforeAll(async () => {
  pki = await testPki();
});
afterEach(() => exchange.close());

const ours = (yaml: string): string => yaml.replaceAll(/identity: original, because: "[^"]*"/g, "identity: ours");
const report = (extension: string, patient = chen): Uint8Array =>
  cda({ form: "113", extension, patient, code: "11502-2", display: "x", title: "檢驗報告", body: extension });
/** `into` and `from` are PID-3 and MRG-1. */
const merging = (controlId: string, into: string, from: string, event = "A40"): Uint8Array =>
  Buffer.from(
    [
      `MSH|^~\\&|HIS|HOSP|SEMRS|HOSP|20260119080000+0800||ADT^${event}^ADT_A39|${controlId}|P|2.5.1||||||UNICODE UTF-8`,
      `EVN|${event}|20260119080000`,
      `PID|1||${into}||${chen.hl7Name}||${chen.birth}|${chen.sex}`,
      `MRG|${from}`,
      "",
    ].join("\r"),
  );
const trace = (id: string, site: SiteName = "hospital-a"): Promise<Traced> =>
  exchange.admin(site).get<Traced>(`/trace/${id}`);
const steps = async (id: string, site: SiteName = "hospital-a"): Promise<readonly string[]> =>
  (await trace(id, site)).steps.map(({ station, event }) => `${station} ${event}`);
const isRegistered = (controlId: string) => async (): Promise<boolean> =>
  (await trace(controlId)).records.some(({ state }) => state === "registered");
const delivered = (bytes: Uint8Array): Promise<void> =>
  until("at HIS B", () => exchange.documentsAtB().has(sha256(bytes)));
const pidsAtB = (type: string): readonly string[] =>
  readdirSync(exchange.receivers.his.folder)
    .filter((name) => name.endsWith(".hl7"))
    .map((name) => readFileSync(join(exchange.receivers.his.folder, name), "utf8"))
    .filter((message) => message.split("|")[8]?.startsWith(type))
    .map((message) => /\rPID\|([^\r]*)/.exec(message)?.[1]?.split("|")[2] ?? "");
const newNumber = "0099999^^^HOSPA^MR";

describe("at the house that gives the ids", () => {
  test.each(["A40", "A34", "A18"])(
    "%s after it was sealed: a search under the surviving id finds the record, and whoever asked for it is its patient",
    async (event) => {
      exchange = await openExchange(pki, { RETRY: "100ms" }, ours);
      const bytes = report("SEALED.1");
      await exchange.message(mdmFor(bytes, { controlId: "M1" }));
      await until("registered", isRegistered("M1"));
      const merge = merging("MERGE", newNumber, `${chen.chart}^^^HOSPA^MR`, event);
      expect(await exchange.message(merge)).toMatchObject({ state: "delivered", detail: "AA" });
      expect((await trace("MERGE")).arrivals[0]).toMatchObject({ state: "done", code: "MERGED" });
      await until("the registry knows", async () => (await steps("MERGE")).includes("route merged"));
      await exchange.message(adtFor(newNumber, { controlId: "ADT1" }), "B_ADT");
      await delivered(bytes);
    },
  );

  test("neither a registry that is down nor a restart loses it, and its record may be registered after it", async () => {
    exchange = await openExchange(pki, { RETRY: "100ms" }, ours);
    await exchange.stop("registry");
    const bytes = report("DOWN.1");
    await exchange.message(merging("MERGE", newNumber, `${chen.chart}^^^HOSPA^MR`));
    await exchange.message(mdmFor(bytes, { controlId: "M1" }));
    await exchange.stop("hospital-a");
    await exchange.start("hospital-a");
    await exchange.start("registry");
    await until("registered", isRegistered("M1"));
    await until("the registry knows", async () => (await steps("MERGE")).includes("route merged"));
    await exchange.stop("registry");
    await exchange.start("registry");
    await exchange.message(adtFor(newNumber, { controlId: "ADT1" }), "B_ADT");
    await delivered(bytes);
  });

  test("before it was sealed: a study that was held for the other id goes with its report", async () => {
    exchange = await openExchange(pki);
    await exchange.instances(
      ctStudy({ instancesPerSeries: 1, patientId: "0099999" }).map((instance) => instance.bytes),
    );
    await exchange.message(mdmFor(documents["116"], { controlId: "M1" }));
    await until("held", async () => (await trace("M1")).documents[0]?.code === "PATIENT_MISMATCH");
    await exchange.message(merging("MERGE", newNumber, `${chen.chart}^^^HOSPA^MR`));
    await until("registered", isRegistered("M1"));
    const traced = await trace("M1");
    expect([traced.instances, traced.documents.map(({ state }) => state)]).toEqual([{ sealed: 2 }, ["sealed"]]);
    expect(await steps("M1")).toContain("assemble merged");
  });

  test("a report that still names the old id is of the patient of its message", async () => {
    exchange = await openExchange(pki);
    const late = { identifiers: newNumber };
    const before = await exchange.message(mdmFor(report("LATE.1"), { controlId: "M1", ...late }));
    expect(before).toMatchObject({ state: "refused", detail: "AE 204" });
    await exchange.message(merging("MERGE", newNumber, `${chen.chart}^^^HOSPA^MR`));
    expect(await exchange.message(mdmFor(report("LATE.1"), { controlId: "M2", ...late }))).toMatchObject({
      detail: "AA",
    });
    expect((await trace("M2")).documents[0]).toMatchObject({ state: expect.stringMatching(/waiting|sealed/) });
  });

  test("A47, A46, A39 and A36 say the same of two ids; a link (A24) or a move (A43) says it of none", async () => {
    exchange = await openExchange(pki);
    for (const [event, code] of [
      ["A47", "MERGED"],
      ["A46", "MERGED"],
      ["A39", "MERGED"],
      ["A36", "MERGED"],
      ["A24", "NO_CHANNEL"],
      ["A43", "NO_CHANNEL"],
    ] as const) {
      await exchange.message(merging(`S-${event}`, newNumber, `${event}^^^HOSPA^MR`, event));
      expect((await trace(`S-${event}`)).arrivals[0], event).toMatchObject({ code });
    }
  });

  test.each([
    [
      "a number whose authority nobody knows",
      "1^^^ELSEWHERE^MR",
      "2^^^ELSEWHERE^MR",
      "filtered",
      "MERGE_NOT_COMPARABLE",
    ],
    ["one number twice", newNumber, newNumber, "filtered", "MERGE_NOT_COMPARABLE"],
    ["a number that nobody in the exchange gives", "A199999990^^^MOI^NI", "A223456781^^^MOI^NI", "done", "MERGED_HERE"],
    ["another house's number", "2^^^HOSPB^MR", "1^^^HOSPB^MR", "done", "MERGED_HERE"],
  ])("%s: %s %s is %s %s", async (_what, into, from, state, code) => {
    exchange = await openExchange(pki);
    expect(await exchange.message(merging("MERGE", into, from))).toMatchObject({ detail: "AA" });
    expect((await trace("MERGE")).arrivals[0]).toMatchObject({ state, code });
    const { deliveries } = await exchange.admin("hospital-a").get<{ deliveries: object }>("/counts");
    expect(deliveries).toEqual({});
  });
});

describe("a newborn on its mother's number", () => {
  const born = { ...chen, birth: "20260110", sex: "M" as const };
  test("its report is held for a person, and nothing is sealed", async () => {
    exchange = await openExchange(pki);
    const message = mdmFor(report("BABY.1"), { controlId: "M1", patient: born });
    expect(await exchange.message(message)).toMatchObject({ detail: "AA" });
    const { documents: kept, steps: told } = await trace("M1");
    expect(kept[0]).toMatchObject({
      state: "held",
      code: "PATIENT_MISMATCH",
      reason: expect.stringContaining("birth date"),
    });
    expect(told.find(({ station }) => station === "validate")?.detail).toBe("PATIENT_MISMATCH");
  });
});

describe("at the house that fetches", () => {
  test("what comes later is delivered as the surviving patient's", async () => {
    exchange = await openExchange(pki, { RETRY: "100ms" }, ours);
    const [first, second] = [report("FIRST.1"), report("SECOND.1")];
    await exchange.message(mdmFor(first, { controlId: "M1", name: "DOC1^HIS" }));
    await until("registered", isRegistered("M1"));
    await exchange.message(adtFor(`${chen.national}^^^MOI^NI~B1^^^HOSPB^MR`, { controlId: "ADT1" }), "B_ADT");
    await delivered(first);
    const survivor = `B2^^^HOSPB^MR~${chen.national}^^^MOI^NI`;
    expect(await exchange.message(merging("MERGE", survivor, "B1^^^HOSPB^MR"), "B_ADT")).toMatchObject({
      detail: "AA",
    });
    const how = { controlId: "M2", event: "MDM^T10^MDM_T02", name: "DOC2^HIS", parent: "DOC1^HIS" };
    await exchange.message(mdmFor(second, how));
    await delivered(second);
    await until("both messages", () => pidsAtB("MDM^T10").length === 1);
    expect(pidsAtB("MDM^T02")).toEqual([`${chen.national}^^^MOI^NI~B1^^^HOSPB^MR`]);
    expect(pidsAtB("MDM^T10")).toEqual([survivor]);
  });

  test("who does not give the ids is refused by the registry, and nobody is merged", async () => {
    const foreign = (yaml: string): string => yaml.replace("owner: hospital-a", "owner: hospital-b");
    exchange = await openExchange(pki, { RETRY: "100ms" }, foreign);
    await exchange.message(mdmFor(report("FOREIGN.1"), { controlId: "M1" }));
    await until("registered", isRegistered("M1"));
    await exchange.message(merging("MERGE", newNumber, `${chen.chart}^^^HOSPA^MR`), "B_ADT");
    await until("refused", async () => {
      const { deliveries } = await exchange.admin("hospital-b").get<{ deliveries: Traced["deliveries"] }>("/journal");
      return deliveries.some(
        ({ kind, state, code }) => kind === "change" && state === "parked" && code === "PEER_REFUSED",
      );
    });
    await exchange.message(adtFor(newNumber, { controlId: "ADT1" }), "B_ADT");
    await until("asked", () => exchange.log.some(({ event }) => event === "registry.answered"));
    expect(exchange.log.find(({ event }) => event === "registry.answered")?.fields.count).toBe(0);
  });
});
