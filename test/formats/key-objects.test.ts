/** Key object selections: title and references in both little endian encodings; what is broken is refused. */
import { describe, expect, test } from "vitest";
import { readMeta } from "../../formats/dicom.ts";
import { readKeyObjects } from "../../formats/key-objects.ts";
import { ctStudy, rejectionNote } from "../fixtures/dicom.ts";

const study = ctStudy({ instancesPerSeries: 2 });
const references = study.map(({ studyInstanceUid, sopInstanceUid }) => ({ studyInstanceUid, sopInstanceUid }));
const explicit = "1.2.840.10008.1.2.1";
const implicit = "1.2.840.10008.1.2";

test.each([explicit, implicit])("title and references in %s", (syntax) => {
  const { bytes } = rejectionNote("113001", study, { syntax });
  expect(readKeyObjects(bytes)).toEqual({ title: { code: "113001", scheme: "DCM" }, references });
});

describe("is refused", () => {
  const whole = Buffer.from(rejectionNote("113001", study).bytes);
  test.each([
    ["an image", study[0]?.bytes ?? whole],
    ["one that names nothing", rejectionNote("113001", []).bytes],
    ["one without a title", rejectionNote("", study).bytes],
    ["one in another transfer syntax", rejectionNote("113001", study, { syntax: "1.2.840.10008.1.2.2" }).bytes],
  ])("%s", (_, bytes) => {
    expect(() => readKeyObjects(bytes)).toThrow(expect.objectContaining({ code: "DICOM_INVALID" }));
  });
  test("whatever is cut off, wherever", () => {
    for (let end = 0; end < whole.length; end += 1)
      expect(() => readKeyObjects(whole.subarray(0, end)), `cut at ${end}`).toThrow(
        expect.objectContaining({ code: "DICOM_INVALID" }),
      );
  });
  test("more items than it may have, though nothing is in them", () => {
    const sequence = Buffer.alloc(12 + 8 * 400_001);
    Buffer.from([0x40, 0, 0x75, 0xa3, 0x53, 0x51, 0, 0]).copy(sequence);
    sequence.fill(Buffer.from([0xfe, 0xff, 0x00, 0xe0, 0, 0, 0, 0]), 12);
    sequence.writeUInt32LE(sequence.length - 12, 8);
    const { offset } = readMeta(whole);
    expect(() => readKeyObjects(Buffer.concat([whole.subarray(0, offset), sequence]))).toThrow(
      expect.objectContaining({ code: "TOO_LARGE" }),
    );
  });
  test("any octet changed is refused or read, never a crash", () => {
    for (let at = 132; at < whole.length; at += 1) {
      const bytes = Buffer.from(whole);
      bytes[at] = (bytes[at] ?? 0) ^ 0xff;
      try {
        readKeyObjects(bytes);
      } catch (thrown) {
        expect(thrown).toMatchObject({ code: "DICOM_INVALID" });
      }
    }
  });
});
