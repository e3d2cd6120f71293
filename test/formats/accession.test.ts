/** Accession numbers: what names nothing joins nothing, wherever it is written. */
import { describe, expect, test } from "vitest";
import { isMeaningful } from "../../formats/accession.ts";
import { readCda } from "../../formats/cda.ts";
import { cda, chen } from "../fixtures/documents.ts";

describe("accession numbers", () => {
  const nothing = [
    "",
    " ",
    "0",
    "000",
    "XXX",
    "xxx",
    "9999",
    "-",
    "--",
    "?",
    ".",
    "UNKNOWN",
    "Unknown ",
    "NONE",
    "n/a",
  ];
  test.each([...nothing, "NULL", "TEST"])("%j names nothing", (value) => expect(isMeaningful(value)).toBe(false));
  test.each(["ACC20260116", "10", "A1", "X-100", "20260116001"])("%j names something", (value) => {
    expect(isMeaningful(value)).toBe(true);
  });
  test("a house adds its own words for none", () => {
    expect(isMeaningful("portable", ["PORTABLE"])).toBe(false);
  });
  test.each([
    ["ACC1", ["ACC1"]],
    ["TEST", []],
    ["0000", []],
  ])("of a document: %s", (accession, expected) => {
    const study = { uid: "1.2.3", accession, series: [], modality: "CT" };
    const report = {
      form: "116",
      extension: "A.1",
      patient: chen,
      code: "18782-3",
      display: "d",
      title: "t",
      body: "b",
    };
    expect(readCda(cda({ ...report, study })).accessionNumbers).toEqual(expected);
  });
});
