/** Our identity in a copy of an instance as a stream: in any pieces, at one pace, broken input, and third-party instances. */
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { createDeflateRaw } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { part10Header, readMeta } from "../../formats/dicom.ts";
import { encodeElement } from "../../formats/dicom-encode.ts";
import { readInstancePatient } from "../../formats/dicom-file.ts";
import { spliceIdentity } from "../../formats/dicom-splice.ts";
import { encodingOf } from "../../formats/dicom-tokens.ts";
import { ctStudy, encapsulatedPdf, mrStudy } from "../fixtures/dicom.ts";
import { elementsOf, hex } from "../fixtures/dicom-elements.ts";
import { fixtures } from "../peers.ts";
import { basic, fileOf, ours, pieces, sorted, splice, syntaxes } from "./splicing.ts";

test("the pieces it comes in change nothing", async () => {
  for (const bytes of [ctStudy()[0]?.bytes, mrStudy()[0]?.bytes, encapsulatedPdf()[0]?.bytes]) {
    const whole = await splice(bytes ?? Buffer.alloc(0));
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1, maxLength: 9 }), async (sizes) => {
        expect((await splice(bytes ?? Buffer.alloc(0), ours, sizes)).equals(whole)).toBe(true);
      }),
      { numRuns: 60 },
    );
  }
});

test.each([
  ["explicit", syntaxes.explicitLittle, 1],
  ["deflated", syntaxes.deflated, 64],
] as const)("%s pixel data goes out as it comes in: nothing piles up", async (_name, syntax, slack) => {
  const [pieceBytes, count] = [1 << 16, 512];
  const head = fileOf(syntax === syntaxes.deflated ? syntaxes.explicitLittle : syntax, basic);
  const { offset } = readMeta(head);
  let [made, taken] = [0, 0];
  async function* dataSet(): AsyncGenerator<Uint8Array> {
    const start = encodeElement(0x7fe00010, "OW", Buffer.alloc(0), encodingOf(syntax));
    start.writeUInt32LE(pieceBytes * count, 8);
    yield Buffer.concat([head.subarray(offset), start]);
    // Noise, so that a deflated one is as large.
    for (; made < pieceBytes * count; made += pieceBytes) yield randomBytes(pieceBytes);
  }
  async function* whole(): AsyncGenerator<Uint8Array> {
    yield part10Header("1.2.840.10008.5.1.4.1.1.7", "2.25.1", syntax);
    if (syntax === syntaxes.deflated) yield* Readable.from(dataSet()).pipe(createDeflateRaw());
    else yield* dataSet();
  }
  let ahead = 0;
  for await (const chunk of spliceIdentity(whole(), ours)) {
    taken += chunk.length;
    ahead = Math.max(ahead, made - taken);
  }
  expect(taken).toBeGreaterThan(pieceBytes * count);
  expect(ahead).toBeLessThanOrEqual(slack * pieceBytes);
});

test("what is broken is a typed fault: cut off, or deflated and not to be inflated", async () => {
  const file = fileOf(syntaxes.explicitLittle, basic);
  await expect(splice(file.subarray(0, -3))).rejects.toMatchObject({ code: "DICOM_INVALID" });
  await expect(splice(file.subarray(0, 140))).rejects.toMatchObject({ code: "DICOM_INVALID" });
  const deflated = fileOf(syntaxes.deflated, basic);
  deflated.fill(0xff, readMeta(deflated).offset);
  await expect(splice(deflated)).rejects.toMatchObject({ code: "DICOM_INVALID" });
});

test.each(Object.entries(syntaxes))(
  "birth date and sex are read in %s, and no more than them",
  async (_name, syntax) => {
    const file = fileOf(syntax, sorted([...basic, [0x00100030, "DA", "19850412"], [0x00100040, "CS", "F"]]));
    const isWhole = syntax === syntaxes.deflated;
    expect(
      await readInstancePatient(pieces(isWhole ? file : Buffer.concat([file, Buffer.alloc(8, 0xff)]), [5])),
    ).toEqual({
      birthDate: "19850412",
      sex: "F",
    });
  },
);

describe("what an instance is read from is closed, as it is a descriptor of a blob", () => {
  const file = fileOf(syntaxes.explicitLittle, [...basic, [0x7fe00010, "OW", Buffer.alloc(5_000)]]);
  const upTo = async (octets: AsyncIterable<Uint8Array>, count: number): Promise<void> => {
    let taken = 0;
    for await (const _ of octets) {
      taken += 1;
      if (taken === count) return;
    }
  };
  const noMeta = Buffer.concat([file.subarray(0, 132), Buffer.alloc(5_000)]);
  test.each<readonly [string, Uint8Array, (source: AsyncIterable<Uint8Array>) => Promise<unknown>]>([
    ["birth date and sex are in its first piece", file, readInstancePatient],
    ["the peer went before the data set", file, (source) => upTo(spliceIdentity(source, ours), 1)],
    ["the peer went within the data set", file, (source) => upTo(spliceIdentity(source, ours), 2)],
    ["it is none", noMeta, readInstancePatient],
    ["it is none, and was to be sent", noMeta, (source) => upTo(spliceIdentity(source, ours), 1)],
  ])("%s", async (_what, bytes, read) => {
    let isClosed = false;
    async function* source(): AsyncGenerator<Uint8Array> {
      try {
        yield* pieces(bytes, [1_000]);
      } finally {
        isClosed = true;
      }
    }
    await read(source()).catch((thrown: unknown) => expect(thrown).toMatchObject({ code: "DICOM_INVALID" }));
    expect(isClosed).toBe(true);
  });
});

const folder = fixtures("dicom");
const files = folder.available ? readdirSync(folder.path).filter((name) => name.endsWith(".dcm")) : [];

describe.skipIf(!folder.available)(
  `third-party instances differ in the spliced attributes alone ${folder.reason}`,
  () => {
    test.for(files.filter((name) => !name.startsWith("malformed")))("%s", async (name) => {
      const bytes = readFileSync(join(folder.path, name));
      const { offset, transferSyntaxUid } = metaOf(bytes) ?? {};
      if (offset === undefined || transferSyntaxUid === undefined) return;
      const isDeflated = transferSyntaxUid === syntaxes.deflated;
      const encoding = encodingOf(transferSyntaxUid);
      const file = await splice(bytes);
      expect(file.subarray(0, offset)).toEqual(bytes.subarray(0, offset));
      const before = elementsOf(bytes.subarray(offset), encoding, isDeflated);
      const after = elementsOf(file.subarray(offset), encoding, isDeflated);
      const touched = new Set([0x00080050, 0x00100020, 0x00100021, 0x04000561]);
      const removed = new Set([0x00080051, 0x00100024]);
      const rest = (elements: typeof before) =>
        [...elements]
          .filter(([tag]) => !touched.has(tag) && !removed.has(tag))
          .map(([tag, { octets }]) => [hex(tag), octets.toString("latin1")]);
      const lengths = (tag: string) => ["00080000", "00100000"].includes(tag);
      expect(rest(after).filter(([tag = ""]) => !lengths(tag))).toEqual(
        rest(before).filter(([tag = ""]) => !lengths(tag)),
      );
      expect(after.get(0x00100020)?.value.toString().trimEnd()).toBe("B990011");
      expect(after.get(0x04000561)?.items.length).toBe((before.get(0x04000561)?.items.length ?? 0) + 1);
      expect([...after.keys()]).toEqual([...after.keys()].sort((one, other) => one - other));
      const sizes = [1, 7, 4093];
      if (bytes.length < 200_000) expect((await splice(bytes, ours, sizes)).equals(file)).toBe(true);
    });
  },
);

/** Some files of the collection have no meta information: they are never stored. */
function metaOf(bytes: Uint8Array) {
  try {
    return readMeta(bytes);
  } catch {
    return undefined;
  }
}
