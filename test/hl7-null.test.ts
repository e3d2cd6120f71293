/** Fields that say `""`, which is that there is no value (HL7 v2.5.1 2.5.3): nobody's number, and no document's name. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { readMsh } from "../formats/hl7.ts";
import { admittedPatient } from "../formats/hl7-patient.ts";
import { documentNames } from "../formats/hl7-txa.ts";
import { cancelFor, cda, chen, mdmFor } from "./fixtures/documents.ts";
import { acksIn, type House, openHouse } from "./house.ts";
import { testPki } from "./sites.ts";

let house: House;
beforeAll(async () => {
  house = await openHouse(await testPki());
});
afterAll(() => house.close());

const none = '""';
const sent = async (message: Uint8Array): Promise<string> => acksIn(await house.ask(message))[0] ?? "";

test("patients who have no national number, after a merge that says so, are not one", async () => {
  const merge = (id: string, chart: string, prior: string): Buffer =>
    Buffer.from(
      [
        `MSH|^~\\&|HIS|A|SEMRS|A|20260119||ADT^A40^ADT_A39|${id}|P|2.5.1`,
        "EVN|A40",
        `PID|1||${chart}^^^HOSPA^MR~${none}^^^MOI^NI||X`,
        `MRG|${prior}^^^MOI^NI`,
        "",
      ].join("\r"),
    );
  for (const [id, chart, prior] of [
    ["M1", "1001", "A123456789"],
    ["M2", "1002", "B123456780"],
  ] as const)
    expect(await sent(merge(id, chart, prior))).toBe(`AA ${id}`);
  const [one, other] = ["A123456789", "B123456780"].map((id) => house.store.tokens.of("patient", "", id));
  expect(house.store.merges.same([one ?? ""])).not.toContain(other);
});

test("a cancellation that names no report cancels none", async () => {
  const report = (extension: string): Uint8Array =>
    cda({ form: "113", extension, patient: chen, code: "1-8", display: "d", title: "t", body: extension });
  for (const id of ["R1", "R2"]) expect(await sent(mdmFor(report(id), { controlId: id, name: none }))).toBe(`AA ${id}`);
  expect(await sent(cancelFor("C1", none))).toBe("AE C1");
  const kept = house.store.arrivals.list({ limit: 100 }).flatMap(({ id }) => house.store.items.byArrival(id));
  expect(kept).toHaveLength(2);
  for (const { state, record } of kept) {
    expect(state).not.toBe("discarded");
    expect(house.store.records.find(record ?? "")?.code ?? null).toBeNull();
  }
});

test("it is no number of an admission, and no order or original of a document", () => {
  const message = Buffer.from(
    [
      "MSH|^~\\&|H|A|S|A|20260102||MDM^T02|1|P|2.5.1",
      `PID|1||${none}^^^MOI^NI~7^^^${none}^MR||X`,
      `ORC|NW|${none}|F1`,
      `TXA|1|DS|TEXT|||||||||${none}|${none}^^${none}|${none}^HIS||AU||AV`,
      "",
    ].join("\r"),
  );
  const facts = readMsh(message);
  expect(admittedPatient(message, facts).numbers).toEqual([{ id: "7", issuer: null, typeCode: "MR" }]);
  expect(documentNames(message, facts)).toMatchObject({ own: null, parent: null, orders: ["F1"] });
});
