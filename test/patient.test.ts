/** What contradicts an admission, and the patient of an admission as fields of our own messages. */
import { describe, expect, test } from "vitest";
import { readMsh } from "../formats/hl7.ts";
import { admittedPatient } from "../formats/hl7-patient.ts";
import { differsFrom } from "../pipeline/patient.ts";

test.each([
  ["19850412", "19850412", null],
  ["19850412", "19850413", "birth date"],
  ["1985", "19850413", null],
  ["198504", "19850413", null],
  ["198505", "19850413", "birth date"],
  ["198504120830+0800", "1985.04.12", null],
  ["1985-04-12", "19850412", null],
  ["19850000", "19850412", null],
  ["19850400", "19850412", null],
  ["00000000", "19850412", null],
  ["", "19850412", null],
  [null, "19850412", null],
  ["unknown", "19850412", null],
] as const)("birth dates %s and %s: %s", (one, other, differs) => {
  expect(differsFrom({ birthDate: one, sex: null }, { birthDate: other, sex: null })).toBe(differs);
  expect(differsFrom({ birthDate: other, sex: null }, { birthDate: one, sex: null })).toBe(differs);
});

test.each([
  ["F", "F", null],
  ["F", "M", "sex"],
  ["f", "M ", "sex"],
  ["F", "O", null],
  ["U", "M", null],
  ["UN", "M", null],
  ["", "M", null],
] as const)("sexes %s and %s: %s", (one, other, differs) => {
  expect(differsFrom({ birthDate: null, sex: one }, { birthDate: null, sex: other })).toBe(differs);
});

describe("the patient of an admission", () => {
  const read = (...lines: readonly string[]) => {
    const message = Buffer.from(lines.map((line) => `${line}\r`).join(""));
    return admittedPatient(message, readMsh(message));
  };

  test("is repeated as it was written", () => {
    const { written, numbers } = read(
      "MSH|^~\\&|HIS|B|||20260118||ADT^A01|1|P|2.5.1||||||UNICODE UTF-8",
      "PID|1||A1\\T\\^^^MOI&1.2.3&ISO^NI~7^^^&1.2.4&ISO^MR||王^小明||19900101|M",
      `PV1|1|O${"|".repeat(17)}V1`,
    );
    expect(written).toEqual({
      identifiers: "A1\\T\\^^^MOI&1.2.3&ISO^NI~7^^^&1.2.4&ISO^MR",
      name: "王^小明",
      birthDate: "19900101",
      sex: "M",
      patientClass: "O",
      visitNumber: "V1",
    });
    expect(numbers).toEqual([
      { id: "A1&", issuer: "MOI", typeCode: "NI" },
      { id: "7", issuer: "1.2.4", typeCode: "MR" },
    ]);
  });

  test("is rewritten where the sender's separators are others", () => {
    const { written } = read(
      "MSH|*%!@|HIS|B|||20260118||ADT*A01|1|P|2.5.1",
      "PID|1||A^1***MOI@1.2@ISO%B2||Wang!S!*Xiao",
    );
    expect(written).toMatchObject({ identifiers: "A\\S\\1^^^MOI&1.2&ISO~B2", name: "Wang*^Xiao" });
  });

  test("is empty where nothing is said", () => {
    expect(read("MSH|^~\\&|HIS|B|||20260118||ADT^A01|1|P|2.5.1")).toMatchObject({
      numbers: [],
      written: { identifiers: "", name: "", patientClass: "" },
    });
  });
});
