/** Named limits of the readers of messages, documents and instances: one step over each is a typed fault that says so. */
import { describe, expect, test } from "vitest";
import { readCda } from "../../formats/cda.ts";
import { inspectDicom, part10Header } from "../../formats/dicom.ts";
import { embeddedDocuments, readBatch, readMsh, segments } from "../../formats/hl7.ts";
import { ct, explicitLittle } from "../dicom-peer.ts";
import { cda, chen } from "../fixtures/cda.ts";

const msh = "MSH|^~\\&|HIS|A|SEMRS|A|20260102||MDM^T02|1|P|2.5.1\r";
const documentsOf = (count: number): Buffer =>
  Buffer.from(`${msh}${"OBX|1|ED|||^TEXT^XML^Base64^PGEvPg==||||||F\r".repeat(count)}`);
const batchOf = (count: number): Buffer => Buffer.from(`BHS|^~\\&|A\r${"MSH|\r".repeat(count)}BTS|${count}\r`);

describe("messages", () => {
  test("100,000 segments are read, one more is HL7_MALFORMED", () => {
    const read = (count: number) => [...segments(Buffer.from(msh + "ZZZ\r".repeat(count - 1)))].length;
    expect(read(100_000)).toBe(100_000);
    expect(() => read(100_001)).toThrow(expect.objectContaining({ code: "HL7_MALFORMED" }));
    expect(() => read(100_001)).toThrow("more than 100000 segments");
  });
  test("100 documents are read, one more is DOCUMENT_MALFORMED", () => {
    const read = (message: Buffer) => embeddedDocuments(message, readMsh(message)).length;
    expect(read(documentsOf(100))).toBe(100);
    expect(() => read(documentsOf(101))).toThrow(expect.objectContaining({ code: "DOCUMENT_MALFORMED" }));
  });
  test("100,000 messages of a batch are read, one more is TOO_LARGE", () => {
    expect(readBatch(batchOf(100_000)).messages).toHaveLength(100_000);
    expect(() => readBatch(batchOf(100_001))).toThrow(expect.objectContaining({ code: "TOO_LARGE" }));
  });
  test("an MSH line of over 16 KiB is read no further: what stands behind is missing", () => {
    const long = Buffer.from(msh.replace("HIS", "H".repeat(16 * 1024)));
    expect(() => readMsh(long)).toThrow(expect.objectContaining({ code: "HL7_MALFORMED" }));
  });
});

test("a document of over 64 MiB is TOO_LARGE before anything is read of it", () => {
  expect(() => readCda(Buffer.alloc(64 * 1024 * 1024 + 1, 0x20))).toThrow(
    expect.objectContaining({ code: "TOO_LARGE", message: expect.stringContaining("over 67108864 octets") }),
  );
});

describe("what a header repeats", () => {
  const about = { extension: "1", patient: chen, code: "18842-5", display: "x", title: "x", body: "x" };
  const sample = Buffer.from(cda(about)).toString();
  /** Before what stands there already. */
  const repeated = (inner: string, count: number): Buffer => {
    const place = inner.startsWith("<id") ? '<patientRole classCode="PAT">' : "<custodian";
    const [before = "", after = ""] = sample.split(place);
    const [opened, closed] = inner.startsWith("<id") ? [place, ""] : ["", place];
    return Buffer.from(before + opened + inner.repeat(count) + closed + after);
  };
  test.each([
    ["patient ids, most of them none", '<id nullFlavor="NI"/>', "recordTarget/patientRole/id"],
    ["authors", "<author><assignedAuthor/></author>", "author"],
    ["related documents", '<relatedDocument typeCode="RPLC"/>', "relatedDocument"],
    ["orders", '<inFulfillmentOf><order><id root="1.2"/></order></inFulfillmentOf>', "inFulfillmentOf/order/id"],
  ])("over 256 %s are CDA_INVALID: none goes unlooked at", (_what, inner, told) => {
    expect(readCda(repeated(inner, 200)).patientIds).not.toHaveLength(0);
    expect(() => readCda(repeated(inner, 257))).toThrow(
      expect.objectContaining({
        code: "CDA_INVALID",
        message: `the document has over 256 of ${told} in one place`,
      }),
    );
  });
});

describe("instances", () => {
  const inspect = async (dataSet: Uint8Array, syntax = explicitLittle) => {
    const inspector = inspectDicom();
    await inspector.push(part10Header(ct, "1.2.3", syntax));
    await inspector.push(dataSet);
    await inspector.ended();
    return inspector.finish();
  };
  /** (0040,A730) SQ of undefined length in an item of undefined length, so often, never closed. */
  const nested = (depth: number): Buffer =>
    Buffer.from("400030a7535100 00ffffffff feff00e0ffffffff".replaceAll(" ", "").repeat(depth), "hex");
  test("sequences nested 65 deep are DICOM_INVALID for that; 60 deep they only lack their end", async () => {
    await expect(inspect(nested(66))).rejects.toThrow("nested deeper than 64");
    await expect(inspect(nested(60))).rejects.toThrow(
      expect.objectContaining({ message: expect.not.stringContaining("deep") }),
    );
  });
  test("over 5,000,000 elements are DICOM_INVALID for that; as many lack only their UIDs", {
    timeout: 60_000,
  }, async () => {
    /** Without a value, in order. */
    const elements = (count: number): Buffer => {
      const bytes = Buffer.alloc(count * 8, Buffer.from("0900000055490000", "hex"));
      for (let n = 0; n < count; n += 1) {
        bytes.writeUInt16LE(0x0009 + 2 * Math.floor(n / 60_000), n * 8);
        bytes.writeUInt16LE(1 + (n % 60_000), n * 8 + 2);
      }
      return bytes;
    };
    await expect(inspect(elements(5_000_001))).rejects.toThrow("more than 5000000 elements");
    await expect(inspect(elements(5_000_000))).rejects.toThrow("SOP Class UID");
  });
  test("meta information of over 64 KiB is DICOM_INVALID", () => {
    const file = Buffer.concat([part10Header(ct, "1.2.3", explicitLittle), Buffer.alloc(100_000)]);
    file.writeUInt32LE(64 * 1024 + 1, 140);
    const inspector = inspectDicom();
    expect(() => {
      void inspector.push(file);
      inspector.finish();
    }).toThrow("truncated or over its limit");
  });
});
