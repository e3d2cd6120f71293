/** `identity: ours` for what no admission asked for: what is pushed, or fetched by a program, waits for one or brings its patient. */
import { describe, expect, test } from "vitest";
import { ctStudy } from "./fixtures/dicom.ts";
import { adtFor, cda, chen, mdmFor } from "./fixtures/documents.ts";
import {
  admission,
  delivered,
  exchange,
  held,
  identifiedHouses,
  identifiers,
  messagesAtHis,
  numbersAtPacs,
  ours,
  parked,
  patientAtHis,
  patientOf,
  provided,
  release,
  study,
} from "./identified.ts";
import { sha256, until } from "./sites.ts";

identifiedHouses();

const theirNumbers = ["ACC20260116", chen.chart, "HOSPA"];

describe("nobody asked for it", () => {
  const pushed = (yaml: string): string =>
    ours(yaml).replaceAll("route: [repository]", "route: [repository, hospital-b]");

  test("what is pushed waits for an admission of its patient", async () => {
    await provided(pushed);
    await held("PATIENT_UNKNOWN");
    const other = adtFor("B123456789^^^MOI^NI~B990012^^^HOSPB^MR", { controlId: "ADT0" });
    await exchange.message(other, "B_ADT");
    await until("another patient's query answered", () => exchange.log.some(({ event }) => event === "fetch.answered"));
    await held("PATIENT_UNKNOWN");
    await exchange.message(admission("ADT1"), "B_ADT");
    await delivered();
    expect(numbersAtPacs()).toEqual(["", "B990011", "HOSPB"]);
  });

  test("a correction and late images go to whom their document was identified as, without another admission", async () => {
    // No repeated query of the admission may help.
    await provided((yaml) => pushed(yaml).replace(/again: \[[^\]]*\]/, "again: []"));
    await held("PATIENT_UNKNOWN");
    await exchange.message(admission("ADT1"), "B_ADT");
    await delivered();
    const late = ctStudy({ instancesPerSeries: 1, first: 50 });
    await exchange.instances(late.map(({ bytes }) => bytes));
    await until("late images at B", () => exchange.instancesAtB().size === study.length + late.length);
    expect(numbersAtPacs(late[0]?.sopInstanceUid)).toEqual(["", "B990011", "HOSPB"]);
    const parent =
      '<relatedDocument typeCode="RPLC"><parentDocument><id extension="SAMPLE.116.1" root="2.16.886.104.100565.100008"/></parentDocument></relatedDocument>';
    const named = { form: "113", extension: "CORRECTED.1", code: "11502-2", display: "x", title: "t", body: "x" };
    const corrected = Buffer.from(
      Buffer.from(cda({ ...named, patient: chen }))
        .toString("utf8")
        .replace("</custodian>", `</custodian>${parent}`),
    );
    await exchange.message(mdmFor(corrected, { controlId: "T10", event: "MDM^T10^MDM_T02" }));
    await until("the correction at HIS B", () => messagesAtHis().length === 2);
    expect(exchange.documentsAtB()).toContain(sha256(corrected));
    expect(messagesAtHis().map((message) => patientOf(message)[0])).toEqual([identifiers, identifiers]);
    expect(await parked()).toEqual([]);
  });

  test("released by a person it goes as it was sealed", async () => {
    await provided(pushed);
    await release(await held("PATIENT_UNKNOWN"));
    await delivered();
    expect(numbersAtPacs()).toEqual(theirNumbers);
    expect(patientAtHis()[1]).toBe(chen.name);
  });
});

describe("a program asked for it", () => {
  const patientIds = [{ root: "2.16.886.101.20003.20001", extension: chen.national }];

  test("with the patient, and the order to file it under", async () => {
    await provided();
    await exchange.admin("hospital-b").post("/fetch", {
      patientIds,
      patient: {
        numbers: [{ id: "B990011", issuer: "HOSPB", typeCode: "MR" }],
        familyName: "陳",
        givenName: "怡君 & 1",
        birthDate: "19850412",
        accessionNumber: "B-2026-17",
      },
    });
    await delivered();
    expect(numbersAtPacs()).toEqual(["B-2026-17", "B990011", "HOSPB"]);
    expect(patientAtHis()).toEqual(["B990011^^^HOSPB^MR", "陳^怡君 \\T\\ 1", "19850412", "", "U", undefined]);
  });

  test("without one it waits for an admission", async () => {
    await provided();
    await exchange.admin("hospital-b").post("/fetch", { patientIds });
    await held("PATIENT_UNKNOWN");
    await exchange.message(admission("ADT1"), "B_ADT");
    await delivered();
    expect(numbersAtPacs()).toEqual(["", "B990011", "HOSPB"]);
  });
});
