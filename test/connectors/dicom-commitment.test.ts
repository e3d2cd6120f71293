/** Storage commitment on the wire: the data sets of PS3.4 J.3, and the transactions that wait for a report. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { explicitLittle, implicitLittle } from "../../connectors/dicom/association.ts";
import {
  eventTypeOf,
  openTransactions,
  readCommitmentReport,
  readCommitmentRequest,
  writeCommitmentReport,
  writeCommitmentRequest,
} from "../../connectors/dicom/commitment.ts";
import { writeDataSet } from "../../connectors/dicom/data-set.ts";
import { Fault } from "../../errors.ts";

const ct = "1.2.840.10008.5.1.4.1.1.2";
const references = [1, 2, 3].map((n) => ({ sopClassUid: ct, sopInstanceUid: `1.2.3.${n}${"0".repeat(n)}` }));
const request = { transactionUid: "2.25.1234567", references };
const [first, ...rest] = references.map((each) => ({ ...each, reason: 0x0112 }));
const report = { transactionUid: "2.25.1234567", committed: references.slice(1), failed: first ? [first] : [] };
const syntaxes = [explicitLittle, implicitLittle];

describe("PS3.4 J.3 data sets", () => {
  test.each(syntaxes)("J.3.2 a request is read as it was written (%s)", (syntax) => {
    expect(readCommitmentRequest(writeCommitmentRequest(request, syntax), syntax)).toEqual(request);
  });

  test.each(syntaxes)("J.3.3 a report is read as it was written, and its event type follows (%s)", (syntax) => {
    for (const each of [report, { ...report, failed: [] }, { ...report, committed: [], failed: rest }]) {
      expect(readCommitmentReport(writeCommitmentReport(each, syntax), syntax)).toEqual(each);
      expect(eventTypeOf(each)).toBe(each.failed.length === 0 ? 1 : 2);
    }
  });

  test("sequences and items of undefined length, and attributes nobody asked for, are read", () => {
    const item = (uid: string): Buffer =>
      Buffer.concat([
        Buffer.from("feff00e0ffffffff", "hex"),
        writeDataSet(
          [
            [0x00081150, "UI", ct],
            [0x00081155, "UI", uid],
          ],
          implicitLittle,
        ),
        Buffer.from("feff0de000000000", "hex"),
      ]);
    const bytes = Buffer.concat([
      writeDataSet(
        [
          [0x00080054, "LO", "ARCHIVE"],
          [0x00081195, "UI", "2.25.1234567"],
        ],
        implicitLittle,
      ),
      Buffer.from("08009911ffffffff", "hex"),
      ...references.map(({ sopInstanceUid }) => item(sopInstanceUid)),
      Buffer.from("feffdde000000000", "hex"),
    ]);
    expect(readCommitmentRequest(bytes, implicitLittle)).toEqual(request);
  });

  const whole = writeCommitmentRequest(request, explicitLittle);
  test.each([
    ["one that is cut off", whole.subarray(0, -1), explicitLittle],
    ["another syntax than the context's", whole, implicitLittle],
    ["a syntax of image data", whole, "1.2.840.10008.1.2.4.50"],
    ["no references", writeCommitmentRequest({ ...request, references: [] }, explicitLittle), explicitLittle],
    ["no transaction", writeCommitmentRequest({ ...request, transactionUid: "" }, explicitLittle), explicitLittle],
    [
      "a UID with a path",
      writeCommitmentRequest({ ...request, transactionUid: "../1" }, explicitLittle),
      explicitLittle,
    ],
    ["nothing", Buffer.alloc(0), explicitLittle],
  ])("%s is DICOM_INVALID", (_what, bytes, syntax) => {
    expect(() => readCommitmentRequest(bytes, syntax)).toThrow(expect.objectContaining({ code: "DICOM_INVALID" }));
  });

  test("more than 25,000 instances are TOO_LARGE", () => {
    const many = Array.from({ length: 25_001 }, (_, n) => ({ sopClassUid: ct, sopInstanceUid: `1.2.${n}` }));
    const bytes = writeCommitmentRequest({ ...request, references: many }, implicitLittle);
    expect(() => readCommitmentRequest(bytes, implicitLittle)).toThrow(expect.objectContaining({ code: "TOO_LARGE" }));
  });

  test("more items than a request can have are TOO_LARGE before they are read, though nothing is in them", () => {
    const sequence = Buffer.alloc(8 + 8 * 60_001, Buffer.from([0xfe, 0xff, 0x00, 0xe0, 0, 0, 0, 0]));
    sequence.writeUInt32LE(0x1199_0008, 0);
    sequence.writeUInt32LE(sequence.length - 8, 4);
    expect(() => readCommitmentRequest(sequence, implicitLittle)).toThrow(
      expect.objectContaining({ code: "TOO_LARGE", message: expect.stringContaining("items") }),
    );
  });

  test("any octets are read or are a Fault", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 200 }),
        fc.nat(whole.length),
        fc.constantFrom(...syntaxes),
        (junk, at, syntax) => {
          const bytes = Buffer.concat([whole.subarray(0, at), junk]);
          for (const read of [readCommitmentRequest, readCommitmentReport]) {
            try {
              read(bytes, syntax);
            } catch (thrown) {
              expect(thrown).toBeInstanceOf(Fault);
            }
          }
        },
      ),
      { numRuns: 2_000 },
    );
  });
});

describe("transactions", () => {
  test("what is reported reaches whoever waits for it, once, wherever it came in", async () => {
    const { expect: wait, settle } = openTransactions();
    const outcome = wait(report.transactionUid, 60_000);
    expect(settle({ ...report, transactionUid: "2.25.9" })).toBe(false);
    expect(settle(report)).toBe(true);
    expect(settle(report)).toBe(false);
    expect(await outcome).toEqual(
      new Map(references.map(({ sopInstanceUid }, n) => [sopInstanceUid, n === 0 ? 0x0112 : null])),
    );
  });

  test("without a report in time there is none", async () => {
    expect(await openTransactions().expect("2.25.1", 1)).toBeUndefined();
  });
});
