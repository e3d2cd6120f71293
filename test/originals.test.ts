/** Replacements that name no original: EEC documents have neither setId nor relatedDocument, and many a HIS sends no TXA-13. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { DocumentFacts } from "../pipeline/validate.ts";
import { cancelFor, cda, chen, lin, mdmFor } from "./fixtures/documents.ts";
import { acksIn, type House, openHouse } from "./house.ts";
import { testPki } from "./sites.ts";

let house: House;
beforeAll(async () => {
  house = await openHouse(await testPki());
});
afterAll(() => house.close());

type Report = {
  readonly id: string;
  readonly orders?: readonly string[];
  readonly form?: string;
  readonly patient?: typeof chen;
  readonly keeper?: string;
  readonly setId?: string;
};
const report = ({ id, orders = [], form = "113", patient = chen, keeper = "0000000001", setId }: Report): Uint8Array =>
  Buffer.from(
    Buffer.from(cda({ form, extension: id, patient, code: "11502-2", display: "x", title: "t", body: id }))
      .toString("utf8")
      .replace('<id extension="0000000001"', `<id extension="${keeper}"`)
      .replace("<recordTarget", setId ? `<setId root="1.2.3" extension="${setId}"/><versionNumber value="1"/>$&` : "$&")
      .replace(
        "</custodian>",
        `$&${orders.map((number) => `<inFulfillmentOf><order><id root="1.2.4" extension="${number}"/></order></inFulfillmentOf>`).join("")}`,
      ),
  );
type How = { readonly event?: string; readonly orders?: string; readonly name?: string };
/** `orders`: TXA-14. */
const send = async (it: Report, { event = "T02", orders = "", name = `N-${it.id}` }: How = {}): Promise<void> => {
  const { patient = chen } = it;
  const message = mdmFor(report(it), { controlId: it.id, event: `MDM^${event}^MDM_T02`, name, patient });
  const text = Buffer.from(message).toString("utf8").replace(`|${name}|||||`, `|${name}||${orders}|||`);
  expect(acksIn(await house.ask(Buffer.from(text)))).toEqual([`AA ${it.id}`]);
};
const arrival = (controlId: string) =>
  house.store.arrivals.list({ limit: 1_000 }).find((row) => row.controlId === controlId);
/** What it says it replaces, and what the journal notes of that. */
const outcome = (controlId: string): readonly (string | null)[] => {
  const [item] = house.store.items.byArrival(arrival(controlId)?.id ?? "");
  const [note] = house.store.steps.of([item?.id ?? ""]).filter(({ station }) => station === "validate");
  const facts = item?.facts as DocumentFacts | undefined;
  const related = (facts?.entry.relatedDocuments ?? []).map(
    ({ type, uniqueId }) => `${type} ${uniqueId.replace(/.*\^/, "")}`,
  );
  return [related.join(), note?.detail ?? null];
};

describe("the original of a replacement that names none", () => {
  test.each<[string, readonly [Report, How?][], readonly (string | null)[]]>([
    [
      "the same form, custodian, patient and order",
      [[{ id: "A1", orders: ["ORD-A"] }], [{ id: "A2", orders: ["ORD-A"] }, { event: "T10" }]],
      ["RPLC A1", "ORIGINAL_MATCHED"],
    ],
    [
      "an order that only the messages know",
      [
        [{ id: "B1" }, { orders: "ORD-B^HIS" }],
        [{ id: "B2" }, { event: "T10", orders: "ORD-B^HIS" }],
      ],
      ["RPLC B1", "ORIGINAL_MATCHED"],
    ],
    [
      "a version that was replaced is no original any more",
      [
        [{ id: "C1", orders: ["ORD-C"] }],
        [{ id: "C2", orders: ["ORD-C"] }, { event: "T10" }],
        [{ id: "C3", orders: ["ORD-C"] }, { event: "T10" }],
      ],
      ["RPLC C2", "ORIGINAL_MATCHED"],
    ],
    [
      "one setId, whatever the orders are",
      [[{ id: "D1", setId: "S", orders: ["ORD-D"] }], [{ id: "D2", setId: "S" }, { event: "T10" }]],
      ["RPLC D1", "ORIGINAL_MATCHED"],
    ],
    [
      "the report that shares more orders",
      [
        [{ id: "E1", orders: ["PLACER-E", "ACC-1"] }],
        [{ id: "E2", orders: ["PLACER-E", "ACC-2"] }],
        [{ id: "E3", orders: ["PLACER-E", "ACC-2"] }, { event: "T10" }],
      ],
      ["RPLC E2", "ORIGINAL_MATCHED"],
    ],
    [
      "two reports of one order: nobody's is withdrawn on a guess",
      [
        [{ id: "F1", orders: ["ORD-F"] }],
        [{ id: "F2", orders: ["ORD-F"] }],
        [{ id: "F3", orders: ["ORD-F"] }, { event: "T10" }],
      ],
      ["", "ORIGINAL_AMBIGUOUS"],
    ],
    [
      "an addendum is no version",
      [
        [{ id: "G1", orders: ["ORD-G"] }],
        [{ id: "G2", orders: ["ORD-G"] }, { event: "T06" }],
        [{ id: "G3", orders: ["ORD-G"] }, { event: "T10" }],
      ],
      ["RPLC G1", "ORIGINAL_MATCHED"],
    ],
    [
      "another patient",
      [[{ id: "H1", orders: ["ORD-H"], patient: lin }], [{ id: "H2", orders: ["ORD-H"] }, { event: "T10" }]],
      ["", "ORIGINAL_UNKNOWN"],
    ],
    [
      "another form",
      [[{ id: "I1", orders: ["ORD-I"], form: "114" }], [{ id: "I2", orders: ["ORD-I"] }, { event: "T10" }]],
      ["", "ORIGINAL_UNKNOWN"],
    ],
    [
      "another custodian",
      [[{ id: "J1", orders: ["ORD-J"], keeper: "9" }], [{ id: "J2", orders: ["ORD-J"] }, { event: "T10" }]],
      ["", "ORIGINAL_UNKNOWN"],
    ],
    [
      "an order number that names nothing",
      [[{ id: "K1", orders: ["XXX"] }], [{ id: "K2", orders: ["XXX"] }, { event: "T10" }]],
      ["", "ORIGINAL_UNKNOWN"],
    ],
    ["a new report is none", [[{ id: "L1", orders: ["ORD-L"] }], [{ id: "L2", orders: ["ORD-L"] }]], ["", null]],
  ])("%s", async (_what, reports, expected) => {
    for (const [it, how] of reports) await send(it, how);
    expect(outcome(reports.at(-1)?.[0].id ?? "")).toEqual(expected);
  });

  test("a report that was cancelled is none", async () => {
    await send({ id: "M1", orders: ["ORD-M"] }, { name: "NAME-M" });
    expect(acksIn(await house.ask(cancelFor("M-CANCEL", "NAME-M")))).toEqual(["AA M-CANCEL"]);
    await send({ id: "M2", orders: ["ORD-M"] }, { event: "T10" });
    expect(outcome("M2")).toEqual(["", "ORIGINAL_UNKNOWN"]);
  });
});

test("everything is sent again after downtime: AA, counted, dropped, and nothing is replaced", async () => {
  await send({ id: "R1", orders: ["ORD-R"] });
  await send({ id: "R2", orders: ["ORD-R"] }, { event: "T10" });
  const { items: kept } = await house.store.scans.counts();
  for (const [controlId, it, event] of [
    ["R1-AGAIN", "R1", "T02"],
    ["R2-AGAIN", "R2", "T10"],
  ] as const) {
    const again = mdmFor(report({ id: it, orders: ["ORD-R"] }), { controlId, event: `MDM^${event}^MDM_T02` });
    expect(acksIn(await house.ask(again))).toEqual([`AA ${controlId}`]);
    expect(arrival(controlId)).toMatchObject({ state: "filtered", code: "REPEATED" });
  }
  expect(Object.values((await house.store.scans.counts()).items).reduce((sum, n) => sum + n, 0)).toBe(
    Object.values(kept).reduce((sum, n) => sum + n, 0),
  );
});
