/** What real feeds send that is no plain report: each has its outcome in the journal. One house, one message after the other. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { frameOf } from "../connectors/mllp/framer.ts";
import { escapeText, hl7Time } from "../formats/hl7.ts";
import { usualSeparators } from "../formats/hl7-patient.ts";
import { cancelFor, cda, chen, mdmFor } from "./fixtures/documents.ts";
import { acksIn, type House, openHouse } from "./house.ts";
import { testPki, until } from "./sites.ts";

let house: House;
let open: House;
beforeAll(async () => {
  const pki = await testPki();
  house = await openHouse(pki);
  const some = "documents: [113, 114, 115, 121, other], processingId: P";
  open = await openHouse(pki, (yaml) => yaml.replace(some, `${some}, confidentiality: [N]`));
});
afterAll(async () => {
  await house.close();
  await open.close();
});

const report = (extension: string, confidentiality = "N"): Uint8Array => {
  const text = cda({ form: "113", extension, patient: chen, code: "1-8", display: "d", title: "t", body: "b" });
  return Buffer.from(
    Buffer.from(text)
      .toString("utf8")
      .replace('confidentialityCode code="N"', `confidentialityCode code="${confidentiality}"`),
  );
};
const changed = (message: Uint8Array, ...edits: readonly (readonly [string | RegExp, string])[]): Buffer =>
  Buffer.from(edits.reduce((text, [from, to]) => text.replace(from, to), Buffer.from(message).toString("utf8")));
const ed = (n: number, document: Uint8Array, status: string): string =>
  `OBX|${n}|ED|DOC||^TEXT^XML^Base64^${Buffer.from(document).toString("base64")}||||||${status}\r`;
/** Another OBX-11. */
const status = (message: Uint8Array, is: string): Buffer => changed(message, [/\|F\r$/, `|${is}\r`]);
/** Another TXA-17. */
const completion = (message: Uint8Array, is: string): Buffer => changed(message, ["||||AU||AV", `||||${is}||AV`]);
/** Base64 without its end. */
const unreadable = (message: Uint8Array): Buffer => changed(message, [/[\w+/=](?=\|{6}[A-Z]\r)/, ""]);
const oru = (controlId: string, ...documents: readonly (readonly [Uint8Array, string])[]): Buffer =>
  changed(mdmFor(report("X"), { controlId, event: "ORU^R01^ORU_R01" }), [
    /OBX\|1[\s\S]*$/,
    documents.map(([document, status], n) => ed(n + 1, document, status)).join(""),
  ]);

/** Another OBR-25. */
const obr = (message: Uint8Array, is: string): Buffer => changed(message, [/OBR[^\r]*/, `$&${"|".repeat(21)}${is}`]);

const textual = (document: Uint8Array): string =>
  `OBX|2|FT|x||${escapeText(Buffer.from(document).toString("utf8"), usualSeparators)}||||||F`;

/** What the journal says of a message: state and code, then of each document kept. */
async function outcome(at: House, message: Uint8Array): Promise<readonly string[]> {
  const id = Buffer.from(message).toString("utf8").split("|")[9] ?? "";
  expect(acksIn(await at.ask(message))).toEqual([`AA ${id}`]);
  const row = at.store.arrivals.list({ limit: 10_000 }).find(({ controlId }) => controlId === id);
  const events = at.store.items.byArrival(row?.id ?? "").map(({ facts }) => (facts as { event: string }).event);
  return [[row?.state, row?.code].filter(Boolean).join(" "), ...events];
}

test.each([
  [
    "MDM for training",
    changed(mdmFor(report("T.1"), { controlId: "T1" }), ["|P|2.5.1", "|T|2.5.1"]),
    ["filtered NO_CHANNEL"],
  ],
  [
    "MDM for debugging",
    changed(mdmFor(report("D.1"), { controlId: "D1" }), ["|P|2.5.1", "|D|2.5.1"]),
    ["filtered NO_CHANNEL"],
  ],
  ["ORU P", oru("P1", [report("P.1"), "P"]), ["filtered PRELIMINARY"]],
  ["ORU R", oru("P2", [report("P.2"), "R"]), ["filtered PRELIMINARY"]],
  ["ORU S", oru("P3", [report("P.3"), "S"]), ["filtered PRELIMINARY"]],
  ["ORU p", oru("P5", [report("P.5"), "p"]), ["filtered PRELIMINARY"]],
  ["ORU of which OBR-25 alone says P", obr(oru("P6", [report("P.6"), ""]), "P"), ["filtered PRELIMINARY"]],
  ["ORU F of which OBR-25 says P", obr(oru("P7", [report("P.7"), "F"]), "P"), ["done", "new"]],
  ["ORU of which OBR-25 alone says X", obr(oru("P8", [report("P.7"), ""]), "X"), ["done CANCELLED"]],
  [
    "ORU whose fields are filled up with blanks",
    changed(
      oru("P9", [report("P.9"), "F"]),
      ["ORU^R01^ORU_R01|", "ORU^R01  |"],
      ["|P|2.5.1", "|P |2.5.1"],
      ["|ED|", "|ED |"],
    ),
    ["done", "new"],
  ],
  [
    "ORU with its document in a text value, between two that are none",
    changed(oru("PA", [report("P.10"), "F"]), [
      /OBX[^\r]*/,
      ["OBX|1|NM|x||7||||||F", textual(report("P.10")), "OBX|3|TX|x||<0.5||||||F"].join("\r"),
    ]),
    ["done", "new"],
  ],
  ["ORU F after P, the same document", oru("P4", [report("P.1"), "F"]), ["done", "new"]],
  [
    "ORU of one final and one preliminary document",
    oru("M1", [report("M.1"), "P"], [report("M.2"), "F"]),
    ["done PRELIMINARY", "new"],
  ],
  [
    "ORU of one new and one corrected",
    oru("M2", [report("M.3"), "F"], [report("M.4"), "C"]),
    ["done", "new", "replacement"],
  ],
  [
    "ORU that cancels one and brings one",
    oru("M3", [report("M.3"), "X"], [report("M.5"), "F"]),
    ["done CANCELLED", "new"],
  ],
  ["ORU that cancels what never came", oru("M4", [report("M.9"), "D"]), ["done CANCELLED_AHEAD"]],
  ["MDM of a preliminary report", status(mdmFor(report("Q.1"), { controlId: "Q1" }), "P"), ["filtered PRELIMINARY"]],
  ["the final one after it", mdmFor(report("Q.1"), { controlId: "Q2", name: "Q^HIS" }), ["done", "new"]],
  ...(["DI", "IN", "IP"] as const).map((state): [string, Buffer, string[]] => [
    `MDM of a report that is not written to its end, TXA-17 ${state}`,
    completion(mdmFor(report(`W.${state}`), { controlId: `W${state}` }), state),
    ["filtered PRELIMINARY"],
  ]),
  [
    "MDM of one that waits for its signature, TXA-17 DO",
    completion(mdmFor(report("W.DO"), { controlId: "WDO", name: "W^HIS" }), "DO"),
    ["done", "new"],
  ],
  [
    "MDM^T11 of one that was in progress again, TXA-17 IP",
    completion(mdmFor(report("W.DO"), { controlId: "WT11", event: "MDM^T11^MDM_T01", name: "W^HIS" }), "IP"),
    ["done CANCELLED"],
  ],
  [
    "MDM^T04 that deletes it by TXA-12",
    status(mdmFor(report("Q.1"), { controlId: "Q3", event: "MDM^T04^MDM_T02", name: "Q^HIS" }), "D"),
    ["done CANCELLED"],
  ],
  ["MDM^T02 again", mdmFor(report("Q.2"), { controlId: "Q4" }), ["done", "new"]],
  [
    "MDM^T04 that deletes by the document's own id",
    status(
      changed(mdmFor(report("Q.2"), { controlId: "Q5", event: "MDM^T04^MDM_T02" }), [/TXA[^\r]*/, "TXA|1|DS"]),
      "X",
    ),
    ["done CANCELLED"],
  ],
  [
    "MDM^T04 of a report that stands, the same octets",
    mdmFor(report("R.0"), { controlId: "Q6", event: "MDM^T04^MDM_T02" }),
    ["done", "new"],
  ],
  ["MDM^T02 by its own name", mdmFor(report("Q.3"), { controlId: "Q7", name: "Q3^HIS" }), ["done", "new"]],
  [
    "MDM^T04 that deletes without a value",
    changed(mdmFor(report("Q.3"), { controlId: "Q8", event: "MDM^T04^MDM_T02", name: "Q3^HIS" }), [
      /\^TEXT\^XML\^.*\|F\r$/,
      '""||||||X\r',
    ]),
    ["done CANCELLED"],
  ],
  [
    "MDM^T04 that deletes ahead, with an empty value",
    changed(mdmFor(report("Q.4"), { controlId: "Q9", event: "MDM^T04^MDM_T02", name: "Q4^HIS" }), [
      /\^TEXT\^XML\^.*\|F\r$/,
      "||||||D\r",
    ]),
    ["done CANCELLED_AHEAD"],
  ],
  ["MDM^T02 that is deleted next", mdmFor(report("Q.5"), { controlId: "QA", name: "Q5^HIS" }), ["done", "new"]],
  [
    "MDM^T04 that deletes by TXA-12, with a value that cannot be read",
    unreadable(status(mdmFor(report("Q.5"), { controlId: "QB", event: "MDM^T04^MDM_T02", name: "Q5^HIS" }), "D")),
    ["done CANCELLED"],
  ],
  ["ORU with one document twice", oru("M5", [report("M.6"), "F"], [report("M.6"), "F"]), ["done REPEATED", "new"]],
  [
    "ORU with two documents under one id",
    oru("M6", [report("M.7"), "F"], [report("M.7", "R"), "F"]),
    ["done", "new", "new"],
  ],
  ["restricted", mdmFor(report("R.1", "R"), { controlId: "R1" }), ["done", "new"]],
  ["very restricted", mdmFor(report("V.1", "V"), { controlId: "V1" }), ["done", "new"]],
] as const)("%s", async (_what, message, expected) => {
  expect(await outcome(house, message)).toEqual(expected);
});

test.each([
  ["of which TXA-12 says nothing", changed(mdmFor(report("Z.1"), { controlId: "Z1" }), [/TXA[^\r]*/, "TXA|1|DS"]), "D"],
  ["beside one that stays", changed(mdmFor(report("Z.2"), { controlId: "Z2" }), [/$/, ed(2, report("Z.3"), "F")]), "D"],
  ["that is new", mdmFor(report("Z.4"), { controlId: "Z4" }), "F"],
])("a value that cannot be read, of a document %s, is refused", async (_what, message, is) => {
  const sent = unreadable(changed(message, [/\|F\r/, `|${is}\r`]));
  const [, id] = /\|(Z\d)\|/.exec(sent.toString("utf8")) ?? [];
  expect(acksIn(await house.ask(sent))).toEqual([`AE ${id}`]);
});

test.each(["R", "V"])("confidentiality %s where only N may leave: acknowledged and not sealed", async (level) => {
  const message = mdmFor(report(`${level}.2`, level), { controlId: `${level}2` });
  expect(await outcome(open, message)).toEqual(["filtered NO_CHANNEL"]);
});

test("of two documents under one id in a message the second waits for a person", () => {
  const { tokens, items } = house.store;
  const both = items.byKey("document", tokens.of("document", "", "2.16.886.104.100565.100008^M.7"));
  expect(both.map(({ code }) => code).toSorted()).toEqual(["DOCUMENT_CONFLICT", null].toSorted());
});

test("what M3 cancelled is withdrawn, the other one of its message is not", () => {
  const states = ["M.3", "M.4"].map((extension) => {
    const [item] = house.store.items.byKey(
      "document",
      house.store.tokens.of("document", "", `2.16.886.104.100565.100008^${extension}`),
    );
    return item?.state === "sealed" ? house.store.records.find(item.record ?? "")?.code : item?.code;
  });
  expect(states).toEqual(["CANCELLED", null]);
});

describe("TXA-12 used anew", () => {
  test("after its report was cancelled: a new report under it is kept, the cancelled one is not", async () => {
    await outcome(house, mdmFor(report("U.1"), { controlId: "U1", name: "REUSED^HIS" }));
    expect(await outcome(house, cancelFor("U2", "REUSED^HIS"))).toEqual(["done CANCELLED"]);
    expect(await outcome(house, mdmFor(report("U.2"), { controlId: "U3", name: "REUSED^HIS" }))).toEqual([
      "done",
      "new",
    ]);
    expect(await outcome(house, mdmFor(report("U.1"), { controlId: "U4", name: "REUSED^HIS" }))).toEqual([
      "filtered CANCELLED",
    ]);
  });
  test("after a cancellation that was ahead has met its report", async () => {
    expect(await outcome(house, cancelFor("A1", "AHEAD^HIS"))).toEqual(["done CANCELLED_AHEAD"]);
    const first = mdmFor(report("A.1"), { controlId: "A2", name: "AHEAD^HIS" });
    expect(await outcome(house, first)).toEqual(["filtered CANCELLED"]);
    const again = mdmFor(report("A.1"), { controlId: "A3", name: "AHEAD^HIS" });
    expect(await outcome(house, again)).toEqual(["filtered CANCELLED"]);
    expect(await outcome(house, mdmFor(report("A.2"), { controlId: "A4", name: "AHEAD^HIS" }))).toEqual([
      "done",
      "new",
    ]);
  });
});

test("clocks that are off by hours, either way: the message is taken, and repeated it is the same message", async () => {
  for (const hours of [-30, -9, 9, 30]) {
    const at = hl7Time(new Date(Date.now() + hours * 3_600_000), "Asia/Taipei").slice(0, 14);
    const message = changed(mdmFor(report(`C.${hours}`), { controlId: `C${hours}` }), ["20260116093500+0800", at]);
    expect(await outcome(house, message)).toEqual(["done", "new"]);
    expect(acksIn(await house.write(Buffer.from(frameOf(message)), 1))).toEqual([`AA C${hours}`]);
    expect(house.store.arrivals.list({ limit: 10_000 }).filter((row) => row.controlId === `C${hours}`)).toHaveLength(1);
  }
});

test("a house that is handed the report while its cancellation is being committed is told as well", async () => {
  await outcome(house, mdmFor(report("RACE.1"), { controlId: "RACE1", name: "RACE^HIS" }));
  const record = () =>
    house.store.records.byKey(house.store.tokens.of("document", "", "2.16.886.104.100565.100008^RACE.1"))[0];
  await until("sealed", () => record() !== undefined);
  const { id = "" } = record() ?? {};
  // Between what the cancellation reads and its commit the repository commits that it hands the record over.
  const { commit } = house.store;
  const released = {
    subject: id,
    at: new Date().toISOString(),
    station: "repository",
    event: "released",
    peer: "hospital-b",
  };
  Object.assign(house.store, {
    commit: async (...args: Parameters<typeof commit>) => {
      if (args[1]?.length) {
        Object.assign(house.store, { commit });
        await commit([house.store.steps.add(released)]);
      }
      await commit(...args);
    },
  });
  expect(await outcome(house, cancelFor("RACE2", "RACE^HIS"))).toEqual(["done CANCELLED"]);
  const told = () => house.store.deliveries.list({ record: id, limit: 100 }).filter(({ kind }) => kind === "notify");
  await until("told", () => told().length > 0);
  expect(told().map(({ destination }) => destination)).toEqual(["hospital-b"]);
});

test("TXA_DIFFERS: TXA-12 and TXA-18 that say otherwise than the document are noted, and the document is believed", async () => {
  const root = "2.16.886.104.100565.100008";
  const named = mdmFor(report("X.1"), { controlId: "X1", name: `X.9^^${root}^ISO` });
  expect(await outcome(house, changed(named, ["|AU||AV", "|AU|V|AV"]))).toEqual(["done", "new"]);
  const [item] = house.store.items.byKey("document", house.store.tokens.of("document", "", `${root}^X.1`));
  const notes = house.store.steps.of([item?.id ?? ""]).filter(({ station }) => station === "validate");
  expect(notes.map(({ detail }) => detail)).toEqual(["TXA_DIFFERS TXA-12, TXA-18"]);
});
