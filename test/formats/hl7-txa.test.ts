/** What TXA says of a document, and where it contradicts the document. */
import { expect, test } from "vitest";
import { readCda } from "../../formats/cda.ts";
import { readMsh } from "../../formats/hl7.ts";
import { differing, documentNames } from "../../formats/hl7-txa.ts";
import { cda, chen } from "../fixtures/documents.ts";

const root = "2.16.886.104.100565.100008";
const report = cda({ form: "113", extension: "D1", patient: chen, code: "1-8", display: "d", title: "t", body: "b" });
const replacing = Buffer.from(report)
  .toString("utf8")
  .replace(
    "<component>",
    `<relatedDocument typeCode="RPLC"><parentDocument><id root="${root}" extension="D0"/></parentDocument></relatedDocument>$&`,
  );
const namesOf = (txa: string, ...more: readonly string[]) => {
  const message = Buffer.from(["MSH|^~\\&|H|A|S|A|20260102||MDM^T02|1|P|2.5.1", ...more, txa, ""].join("\r"));
  return documentNames(message, readMsh(message));
};
const txa = (own: string, parent = "", confidentiality = "") =>
  `TXA|1|DS|TEXT|||||||||${own}|${parent}|P1^HIS~P2|F1||AU|${confidentiality}|AV`;

test.each([
  ["its own name", txa("DOC1^HIS"), null],
  ["its id", txa(`D1^^${root}^ISO`), null],
  ["another id under its root", txa(`D9^^${root}^ISO`), "TXA_DIFFERS TXA-12"],
  ["an id under another root", txa("D9^^1.2.3^ISO"), null],
  ["its original", txa("DOC1", `D0^^${root}^ISO`), null],
  ["another original", txa("DOC1", `D9^^${root}^ISO`), "TXA_DIFFERS TXA-13"],
  ["as confidential", txa("DOC1", "", "U"), null],
  ["more confidential", txa("DOC1", "", "V"), "TXA_DIFFERS TXA-18"],
  ["nothing", "PV1|1|O", null],
  ["everything else", txa(`D9^^${root}^ISO`, `D9^^${root}^ISO`, "R"), "TXA_DIFFERS TXA-12, TXA-13, TXA-18"],
])("TXA says %s", (_what, segment, expected) => {
  expect(differing(namesOf(segment), readCda(Buffer.from(replacing)))).toBe(expected);
});

test("order numbers are those of TXA, ORC and OBR, each once, without who gave them", () => {
  expect(namesOf(txa("D"), "ORC|NW|P1^HIS|F2^LIS", "OBR|1|P3\\T\\A|F1").orders).toEqual([
    "P1",
    "F2",
    "P3&A",
    "F1",
    "P2",
  ]);
});

test("a name that is an OID alone, in EI-3, is the document's of that root", () => {
  expect(namesOf(txa("^^1.2.3.4^ISO")).own).toEqual({ written: "^^1.2.3.4", uniqueIds: ["1.2.3.4"] });
  expect(namesOf(txa('""^HIS^""')).own).toBe(null);
});
