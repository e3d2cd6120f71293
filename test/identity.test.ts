/** Whose identity HIS B and PACS B see with `identity: ours`, and what is held until it is known whose a record is. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { chen } from "./fixtures/documents.ts";
import {
  admission,
  atPacs,
  dataSet,
  delivered,
  exchange,
  held,
  identifiedHouses,
  identifiers,
  numbersAtPacs,
  ours,
  parked,
  patientAtHis,
  provided,
  release,
  rest,
  study,
} from "./identified.ts";
import { until } from "./sites.ts";

identifiedHouses();

describe("an admission asked for it", () => {
  test("the HIS gets the patient as it admitted them, the PACS its own number, and every other element as it was sealed", async () => {
    await provided();
    await exchange.message(admission("ADT1"), "B_ADT");
    await delivered();
    expect(patientAtHis()).toEqual([identifiers, "陳^怡君^^^女士", "19850412", "F", "I", "V20260118^^^HOSPB"]);
    expect(numbersAtPacs()).toEqual(["", "B990011", "HOSPB"]);
    for (const { sopInstanceUid, bytes } of study) {
      const after = atPacs(sopInstanceUid);
      expect(rest(after)).toEqual(rest(dataSet(bytes)));
      expect(after.get(0x04000561)?.items.length).toBe(1);
    }
    await until("A has B's proof of delivery", () =>
      exchange.log.some(({ event }) => event === "repository.receipted"),
    );
    const data = join(exchange.folder, "data");
    for (const each of readdirSync(data, { recursive: true, withFileTypes: true }).filter((file) => file.isFile())) {
      const bytes = readFileSync(join(each.parentPath, each.name));
      for (const word of ["B990011", "怡君", "V20260118"]) expect(bytes.includes(word), each.name).toBe(false);
    }
  });

  test("the house says whose number it files under, and that it keeps accession numbers", async () => {
    await provided((yaml) =>
      ours(yaml).replace("to: pacs, identity: ours", "to: pacs, identity: ours, authority: MOI, accession: keep"),
    );
    await exchange.message(admission("ADT1"), "B_ADT");
    await delivered();
    expect(numbersAtPacs()).toEqual(["ACC20260116", chen.national, "MOI"]);
  });

  test("without a number of that authority it is held, and a release does not help", async () => {
    await provided((yaml) =>
      ours(yaml).replace("to: pacs, identity: ours", "to: pacs, identity: ours, authority: NOBODY"),
    );
    await exchange.message(admission("ADT1"), "B_ADT");
    await release(await held("PATIENT_UNKNOWN"));
    await until("held again", () => exchange.log.filter(({ event }) => event === "deliver.parked").length === 2);
    await held("PATIENT_UNKNOWN");
  });
});

test("a number that an instance's character set cannot write parks the study, and says why without the number", async () => {
  const latin = study.map((each) => {
    const bytes = Buffer.from(each.bytes);
    bytes.write("ISO_IR 100", bytes.indexOf("ISO_IR 192"));
    return { ...each, bytes };
  });
  await provided(ours, latin);
  const adt = Buffer.from(Buffer.from(admission("ADT1")).toString("utf8").replace("B990011", "病7"));
  await exchange.message(adt, "B_ADT");
  await until("parked", async () => (await parked()).length === 1);
  expect(await parked()).toMatchObject([{ kind: "study", code: "DICOM_UNSUPPORTED" }]);
  expect(JSON.stringify([await parked(), exchange.log])).not.toContain("病7");
  expect(exchange.instancesAtB().size).toBe(0);
});

describe("what contradicts the admission is held, whole, until a person decides", () => {
  test.each([
    ["the document's birth date", admission("ADT1", "19850413")],
    ["the document's sex", admission("ADT1", "19850412", "M")],
  ] as const)("%s", async (_what, adt) => {
    await provided();
    await exchange.message(adt, "B_ADT");
    await release(await held("PATIENT_MISMATCH"));
    await delivered();
    expect(numbersAtPacs()).toEqual(["", "B990011", "HOSPB"]);
  });

  test.each([
    ["birth date", "19850412", "19850421"],
    ["sex", "F ", "M "],
  ] as const)("an instance's own %s, though the document agrees", async (_what, from, to) => {
    const edited = study.map((each, index) => {
      if (index !== study.length - 1) return each;
      const bytes = Buffer.from(each.bytes);
      const head = Buffer.from([0x10, 0x00, from.length > 2 ? 0x30 : 0x40, 0x00]);
      bytes.write(to, bytes.indexOf(head) + 8);
      return { ...each, bytes };
    });
    await provided(ours, edited);
    await exchange.message(admission("ADT1"), "B_ADT");
    await held("PATIENT_MISMATCH");
  });

  test("a date of less precision, or none, contradicts nothing", async () => {
    await provided();
    await exchange.message(admission("ADT1", "1985", ""), "B_ADT");
    await delivered();
  });

  test("a corrected admission decides too", async () => {
    await provided();
    await exchange.message(admission("ADT1", "19850413"), "B_ADT");
    await held("PATIENT_MISMATCH");
    await exchange.message(admission("ADT2"), "B_ADT");
    await delivered();
    expect(patientAtHis()[2]).toBe("19850412");
  });
});
