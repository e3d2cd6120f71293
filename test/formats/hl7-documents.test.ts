/** Documents in values that are called text: found where they are clinical documents, and everything else is an observation. */
import { expect, test } from "vitest";
import { documentEvent, embeddedDocuments, escapeText, payloadlessFrame, readMsh } from "../../formats/hl7.ts";
import { usualSeparators } from "../../formats/hl7-patient.ts";
import { documents } from "../fixtures/documents.ts";

const message = (type: string, value: string, status = "F"): Buffer =>
  Buffer.from(`MSH|^~\\&|H|A|S|A|20260102||ORU^R01|1|P|2.5.1\rOBR|1\rOBX|1|${type}|x||${value}||||||${status}\r`);
const read = (bytes: Uint8Array) => embeddedDocuments(bytes, readMsh(bytes));
const escaped = (bytes: Uint8Array): string => escapeText(Buffer.from(bytes).toString("utf8"), usualSeparators);

test.each([
  ["FT", "113", escaped],
  ["TX", "bare", escaped],
  ["ST", "pdf", escaped],
  ["TX", "116", (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64")],
  [
    "FT",
    "bare",
    (bytes: Uint8Array): string => `<!-- made by ^HIS^^^ -->\\X0D0A\\${escaped(bytes).replace(/^<\?xml[^>]*>/, "")}`,
  ],
] as const)("%s that is document %s", (type, name, written) => {
  const value = written(documents[name]);
  const bytes = message(type, value, "C");
  const [found, other] = read(bytes);
  expect([found?.kind, found?.event, other]).toEqual(["cda", "replacement", undefined]);
  expect(Buffer.from(found?.bytes ?? []).toString("utf8")).toContain("</ClinicalDocument>");
  if (!value.startsWith("<!--")) expect(Buffer.compare(found?.bytes ?? Buffer.alloc(0), documents[name])).toBe(0);
  expect(documentEvent(readMsh(bytes), bytes)).toBe("replacement");
  expect(Buffer.from(payloadlessFrame(bytes, readMsh(bytes))).toString()).toMatch(/\|sha256:[0-9a-f]{64};\d+\r$/);
});

test.each([
  ["a value below its limit", "<0.5"],
  ["a text of the alphabet", "Positive"],
  ["XML of another kind", "<?xml version='1.0'?><report><ClinicalDocument/></report>"],
  ["a word", "ClinicalDocument"],
  ["nothing", ""],
])("%s is an observation", (_what, value) => {
  for (const type of ["FT", "TX", "ST"]) expect(read(message(type, value))).toEqual([]);
});

test("comments without end cost no time", () => {
  expect(read(message("TX", `${"<!---->".repeat(5_000)}x`))).toEqual([]);
});

test("a value of another type is never looked into", () => {
  expect(read(message("CWE", escaped(documents["113"])))).toEqual([]);
});
