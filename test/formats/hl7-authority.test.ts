/** Numbers of a system that says nowhere whose they are (`mllp.authority`). */
import { expect, test } from "vitest";
import { patientIdentifiers, readMsh } from "../../formats/hl7.ts";
import { mergesIn } from "../../formats/hl7-merge.ts";
import { admittedPatient } from "../../formats/hl7-patient.ts";
import { adtFor } from "../fixtures/documents.ts";

const told = (pid3: string, authority?: string): readonly string[] => {
  const message = adtFor(pid3);
  const facts = readMsh(message, { authority });
  const issuers = admittedPatient(message, facts).numbers.map(({ id, issuer }) => `${id} ${issuer}`);
  const ids = patientIdentifiers(message, facts).map((each) => `${each.id} ${each.authority ?? each.root}`);
  expect(issuers).toEqual(ids);
  return ids;
};

test("the first that names nobody, and is of the system by its type, is of its authority; no other is", () => {
  expect(told("1~2^^^MOI^NI")).toEqual(["1 null", "2 MOI"]);
  for (const [pid3, ...ids] of [
    ["1", "1 HOSPA"],
    ["1^^^^MR~2^^^^MR", "1 HOSPA", "2 null"],
    ["1^^^MOI^NI~2^^^^PI", "1 MOI", "2 HOSPA"],
    ["1^^^^NI~2^^^^SS~3^^^ ^MR ", "1 null", "2 null", "3 HOSPA"],
    ["1^^^&1.2.3&ISO~2", "1 1.2.3", "2 HOSPA"],
    ['1^^^""^MR', "1 HOSPA"],
  ] as const)
    expect(told(pid3, "HOSPA"), pid3).toEqual(ids);
});

test("so are the two numbers of a merge", () => {
  const head = "MSH|^~\\&|HIS|HOSP|SEMRS|HOSP|20260119080000+0800||ADT^A40^ADT_A39|M1|P|2.5.1";
  const message = Buffer.from(`${head}\rEVN|A40|20260119080000\rPID|1||2\rMRG|1\r`);
  const [merge] = mergesIn(message, readMsh(message, { authority: "HOSPA" }));
  expect([merge?.surviving, merge?.prior]).toEqual([
    [{ id: "2", authority: "HOSPA", root: null }],
    [{ id: "1", authority: "HOSPA", root: null }],
  ]);
});
