/** DICOM Part 10 files: facts in any chunking, and only typed faults for what is broken. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { Fault } from "../../errors.ts";
import { type DicomFacts, inspectDicom, part10Header, readMeta } from "../../formats/dicom.ts";
import { ctStudy, encapsulatedPdf, mrStudy, multiFrame } from "../fixtures/dicom.ts";
import { basic, fileOf, splice, syntaxes } from "./splicing.ts";

const secondary = "1.2.840.10008.5.1.4.1.1.7";

function inspect(bytes: Uint8Array, size = bytes.length): DicomFacts {
  const inspector = inspectDicom();
  for (let at = 0; at < bytes.length; at += size) void inspector.push(bytes.subarray(at, at + size));
  return inspector.finish();
}
const [ct] = ctStudy({ instancesPerSeries: 1, size: 8 });
const file = Buffer.from(ct?.bytes ?? Buffer.alloc(0));
const metaEnd = readMeta(file).offset;

test("every sample is read, with its own UIDs", () => {
  for (const { bytes, sopInstanceUid, studyInstanceUid } of [
    ...ctStudy(),
    ...mrStudy(),
    ...encapsulatedPdf(),
    ...multiFrame(),
  ]) {
    expect(inspect(bytes)).toMatchObject({ sopInstanceUid, studyInstanceUid });
  }
  expect(inspect(file)).toMatchObject({ patientId: "0034567", accessionNumber: "ACC20260116", modality: "CT" });
});

test("the pieces it comes in change nothing", () => {
  const whole = inspect(file);
  fc.assert(fc.property(fc.integer({ min: 1, max: 400 }), (size) => void expect(inspect(file, size)).toEqual(whole)));
});

test("GE's own syntax, whose pixels alone are big endian, is read as the implicit little endian that it is", async () => {
  const ge = "1.2.840.113619.5.2";
  const implicit = fileOf(syntaxes.implicitLittle, basic);
  const as = Buffer.concat([part10Header(secondary, "2.25.1", ge), implicit.subarray(readMeta(implicit).offset)]);
  expect(inspect(as)).toEqual({ ...inspect(implicit), transferSyntaxUid: ge });
  const [one, other] = [await splice(as), await splice(implicit)];
  expect(one.subarray(readMeta(one).offset)).toEqual(other.subarray(readMeta(other).offset));
});

test("cut off anywhere in its data set it is truncated", () => {
  for (let end = metaEnd + 1; end < file.length; end += 7) {
    // At an element's border a data set may end; then what must be there is missing.
    try {
      inspect(file.subarray(0, end));
    } catch (thrown) {
      expect(thrown).toMatchObject({ code: "DICOM_INVALID" });
    }
  }
  expect(() => inspect(file.subarray(0, file.length - 1))).toThrow(/truncated/);
});

test("trailing padding may be left out, but not end in its middle, however it comes", () => {
  const padding = Buffer.concat([Buffer.from("fcfffcff4f42000010000000", "hex"), Buffer.alloc(16)]);
  const padded = Buffer.concat([file, padding]);
  for (const size of [padded.length, 97, 1]) {
    expect(inspect(padded, size)).toEqual(inspect(file));
    expect(inspect(padded.subarray(0, -16), size)).toEqual(inspect(file));
    for (const left of [1, 15]) expect(() => inspect(padded.subarray(0, -left), size)).toThrow(/truncated/);
  }
});

test("flipped bits give facts or a typed fault, never anything else", () => {
  fc.assert(
    fc.property(fc.nat(file.length * 8 - 1), (bit) => {
      const copy = Buffer.from(file);
      copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      try {
        inspect(copy, 97);
      } catch (thrown) {
        expect(thrown).toBeInstanceOf(Fault);
      }
    }),
    { numRuns: 2_000 },
  );
});

test("elements out of order, and UIDs that differ from the meta information, are refused", () => {
  const swapped = Buffer.concat([
    file.subarray(0, metaEnd),
    file.subarray(metaEnd + 18),
    file.subarray(metaEnd, metaEnd + 18),
  ]);
  expect(() => inspect(swapped)).toThrow(Fault);
  const other = Buffer.from(file);
  const at = other.indexOf("2.25.116001", metaEnd);
  other.write("9", at);
  expect(() => inspect(other)).toThrow(expect.objectContaining({ code: "DICOM_MISMATCH" }));
});
