/** Deflated data sets are read as they come: in pieces of any size, in little memory whatever they inflate to, and to their end. */
import { constants, createDeflateRaw, deflateRawSync } from "node:zlib";
import fc from "fast-check";
import { expect, test } from "vitest";
import { deflatedExplicitLittle, inspectDicom, part10Header, readHead, readMeta } from "../../formats/dicom.ts";
import { encodeElement } from "../../formats/dicom-encode.ts";
import { encodingOf } from "../../formats/dicom-tokens.ts";
import { ct } from "../dicom-peer.ts";
import { ctStudy } from "../fixtures/dicom.ts";

const mebibyte = 1024 * 1024;
const [sample] = ctStudy({ instancesPerSeries: 1, size: 32 });
const file = Buffer.from(sample?.bytes ?? Buffer.alloc(0));
const dataSet = file.subarray(readMeta(file).offset);
const head = part10Header(ct, sample?.sopInstanceUid ?? "", deflatedExplicitLittle);
const packed = deflateRawSync(dataSet);

async function inspect(bytes: Uint8Array, size = bytes.length) {
  const inspector = inspectDicom();
  for (let at = 0; at < bytes.length; at += size) await inspector.push(bytes.subarray(at, at + size));
  await inspector.ended();
  return inspector.finish();
}

test("it says what it says when it is not deflated, however it is cut, with an octet of padding or without", async () => {
  const facts = await inspect(file);
  const deflated = { ...facts, transferSyntaxUid: deflatedExplicitLittle };
  const whole = Buffer.concat([head, packed]);
  expect(await inspect(whole)).toEqual(deflated);
  expect(await inspect(Buffer.concat([whole, Buffer.alloc(1)]), 101)).toEqual(deflated);
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: whole.length }), async (size) => {
      expect(await inspect(whole, size)).toEqual(deflated);
    }),
    { numRuns: 50 },
  );
});

test("cut short, or no deflate at all, it is DICOM_INVALID", async () => {
  const broken = { code: "DICOM_INVALID", message: "the deflated data set does not inflate" };
  for (const cut of [1, 20, packed.length - 1])
    await expect(inspect(Buffer.concat([head, packed.subarray(0, packed.length - cut)]), 64)).rejects.toMatchObject(
      broken,
    );
  await expect(inspect(Buffer.concat([head, Buffer.alloc(500, 0xff)]), 64)).rejects.toMatchObject(broken);
  const odd = deflateRawSync(dataSet.subarray(0, -10));
  await expect(inspect(Buffer.concat([head, odd]))).rejects.toThrow(/truncated/);
});

/** A data set that ends in so many octets of zero, deflated: a thousandth as large. */
async function* bomb(size: number): AsyncGenerator<Uint8Array> {
  yield head;
  const end = encodeElement(0x7fe00010, "OW", Buffer.alloc(0), encodingOf("1.2.840.10008.1.2.1"));
  end.writeUInt32LE(size, end.length - 4);
  const deflate = createDeflateRaw({ level: constants.Z_BEST_SPEED });
  const zeros = Buffer.alloc(mebibyte);
  const written = (async () => {
    const before = dataSet.subarray(0, dataSet.indexOf(Buffer.from("e07f1000", "hex")));
    deflate.write(Buffer.concat([before, end]));
    for (let at = 0; at < size; at += mebibyte)
      if (!deflate.write(zeros)) await new Promise((resolve) => deflate.once("drain", resolve));
    deflate.end();
  })();
  yield* deflate as AsyncIterable<Uint8Array>;
  await written;
}

test("one that inflates to 300 MiB is read in little memory, and others have their turn; beyond 1 GiB it is DICOM_INVALID", async () => {
  const read = async (size: number) => {
    const inspector = inspectDicom();
    for await (const chunk of bomb(size)) await inspector.push(chunk);
    await inspector.ended();
    return inspector.finish();
  };
  await read(64 * mebibyte);
  const before = process.memoryUsage.rss();
  let [turns, most] = [0, 0];
  const look = setInterval(() => {
    turns += 1;
    most = Math.max(most, process.memoryUsage.rss() - before);
  }, 5);
  expect((await read(300 * mebibyte)).sopInstanceUid).toBe(sample?.sopInstanceUid);
  clearInterval(look);
  expect(turns).toBeGreaterThan(5);
  expect(most).toBeLessThan(100 * mebibyte);
  await expect(read(1025 * mebibyte)).rejects.toMatchObject({
    code: "DICOM_INVALID",
    message: "the deflated data set does not inflate within 1073741824 octets",
  });
});

test("what a C-STORE announces of one is its data set's own, where only its beginning is at hand", () => {
  const large = Buffer.concat([head, deflateRawSync(Buffer.concat([dataSet, Buffer.alloc(200_000)]))]);
  const renamed = part10Header(ct, "1.2.3", deflatedExplicitLittle);
  const beginning = Buffer.concat([renamed, large.subarray(head.length)]).subarray(
    0,
    renamed.length + packed.length - 20,
  );
  expect(readHead(beginning)).toMatchObject({
    sopInstanceUid: sample?.sopInstanceUid,
    studyInstanceUid: sample?.studyInstanceUid,
  });
});
