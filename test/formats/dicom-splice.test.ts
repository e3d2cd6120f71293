/** Our identity in a copy of an instance: what changes is what was asked for, and its record; every other octet stays. */
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { createDeflateRaw, deflateRawSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { part10Header, readMeta } from "../../formats/dicom.ts";
import { encodeElement, encodeItem } from "../../formats/dicom-encode.ts";
import { readInstancePatient } from "../../formats/dicom-file.ts";
import { type DicomIdentity, spliceIdentity } from "../../formats/dicom-splice.ts";
import { encodingOf } from "../../formats/dicom-tokens.ts";
import { ctStudy, encapsulatedPdf, mrStudy } from "../fixtures/dicom.ts";
import { elementsOf, hex } from "../fixtures/dicom-elements.ts";
import { fixtures } from "../peers.ts";

const ours: DicomIdentity = {
  patientId: "B990011",
  issuerOfPatientId: "HOSPB",
  accessionNumber: "",
  modifiedAt: new Date("2026-01-18T08:00:01.234Z"),
  modifyingSystem: "hospital-b",
  source: "hospital-a",
};
const syntaxes = {
  implicitLittle: "1.2.840.10008.1.2",
  explicitLittle: "1.2.840.10008.1.2.1",
  explicitBig: "1.2.840.10008.1.2.2",
  deflated: "1.2.840.10008.1.2.1.99",
} as const;

async function* pieces(bytes: Uint8Array, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  for (let at = 0, n = 0; at < bytes.length; n += 1) {
    const size = sizes[n % sizes.length] ?? 1;
    yield bytes.subarray(at, at + size);
    at += size;
  }
}
async function splice(bytes: Uint8Array, identity = ours, sizes: readonly number[] = [1 << 20]): Promise<Buffer> {
  const out: Uint8Array[] = [];
  for await (const chunk of spliceIdentity(pieces(bytes, sizes), identity)) out.push(Uint8Array.from(chunk));
  return Buffer.concat(out);
}

type Written = readonly [tag: number, vr: string, value: string | Buffer];
/** A file of these elements in a transfer syntax. */
function fileOf(transferSyntaxUid: string, elements: readonly Written[]): Buffer {
  const encoding = encodingOf(transferSyntaxUid);
  const body = Buffer.concat(
    elements.map(([tag, vr, value]) =>
      encodeElement(tag, vr, typeof value === "string" ? Buffer.from(value, "utf8") : value, encoding),
    ),
  );
  const dataSet = transferSyntaxUid === syntaxes.deflated ? deflateRawSync(body) : body;
  return Buffer.concat([part10Header("1.2.840.10008.5.1.4.1.1.7", "2.25.1", transferSyntaxUid, "TEST"), dataSet]);
}
const basic: readonly Written[] = [
  [0x00080005, "CS", "ISO_IR 192"],
  [0x00080016, "UI", "1.2.840.10008.5.1.4.1.1.7"],
  [0x00080018, "UI", "2.25.1"],
  [0x00080050, "SH", "ACC1"],
  [0x00100010, "PN", "Chen"],
  [0x00100020, "LO", "A1"],
  [0x00100021, "LO", "HOSPA"],
  [0x0020000d, "UI", "2.25.2"],
  [0x0020000e, "UI", "2.25.3"],
];
const sorted = (elements: readonly Written[]): readonly Written[] =>
  [...elements].sort(([one], [other]) => one - other);

/** Tag and value of the elements of an item, for reading. */
const values = (bytes: Uint8Array, syntax: string): Record<string, string> =>
  Object.fromEntries(
    [...elementsOf(bytes, encodingOf(syntax))].map(([tag, { value }]) => [hex(tag), value.toString("utf8").trimEnd()]),
  );

describe.each(Object.entries(syntaxes))("in %s", (_name, syntax) => {
  const spliced = async (elements: readonly Written[], identity = ours) => {
    const file = await splice(fileOf(syntax, elements), identity);
    const { offset, transferSyntaxUid } = readMeta(file);
    expect(transferSyntaxUid).toBe(syntax);
    return elementsOf(file.subarray(offset), encodingOf(syntax), syntax === syntaxes.deflated);
  };

  test("id, issuer and accession number are ours, and what they were is told", async () => {
    const elements = await spliced(basic);
    expect([...elements.keys()].map(hex)).toEqual([
      "00080005", "00080016", "00080018", "00080050", "00100010", "00100020", "00100021", "0020000d", "0020000e", "04000561",
    ]); // biome-ignore format: one line
    const text = (tag: number) => elements.get(tag)?.value.toString().trimEnd();
    expect([text(0x00080050), text(0x00100020), text(0x00100021)]).toEqual(["", "B990011", "HOSPB"]);
    const [item] = elements.get(0x04000561)?.items ?? [];
    const told = elementsOf(item ?? Buffer.alloc(0), encodingOf(syntax));
    expect(values(told.get(0x04000550)?.items[0] ?? Buffer.alloc(0), syntax)).toEqual({
      "00080050": "ACC1",
      "00100020": "A1",
      "00100021": "HOSPA",
    });
    expect(
      [0x04000562, 0x04000563, 0x04000564, 0x04000565].map((tag) => told.get(tag)?.value.toString().trimEnd()),
    ).toEqual(["20260118080001+0000", "hospital-b", "hospital-a", "COERCE"]);
  });

  test("what was absent is put in its place in the order of tags and told with no value", async () => {
    const elements = await spliced(
      basic.filter(([tag]) => tag >>> 16 !== 0x0010 && tag !== 0x00080050),
      { ...ours, accessionNumber: "B77" },
    );
    expect([...elements.keys()].map(hex).slice(3, 6)).toEqual(["00080050", "00100020", "00100021"]);
    const [item] = elements.get(0x04000561)?.items ?? [];
    const told = elementsOf(item ?? Buffer.alloc(0), encodingOf(syntax)).get(0x04000550)?.items[0];
    expect(values(told ?? Buffer.alloc(0), syntax)).toEqual({ "00080050": "", "00100020": "", "00100021": "" });
  });

  test("an item is added to those that are there", async () => {
    const encoding = encodingOf(syntax);
    const before = encodeItem(encodeElement(0x04000565, "CS", Buffer.from("CORRECT"), encoding), encoding);
    const elements = await spliced([...basic, [0x04000561, "SQ", before]]);
    const items = elements.get(0x04000561)?.items ?? [];
    expect(items.map((item) => values(item, syntax)["04000565"])).toEqual(["CORRECT", "COERCE"]);
  });

  test("who issued the other house's numbers goes with them; private and later elements stay", async () => {
    const encoding = encodingOf(syntax);
    const issuer = encodeItem(encodeElement(0x00400032, "UT", Buffer.from("1.2.3"), encoding), encoding);
    const elements = await spliced(
      sorted([
        ...basic,
        [0x00080051, "SQ", issuer],
        [0x00100024, "SQ", issuer],
        [0x04010010, "LO", "PRIVATE"],
        [0x7fe00010, "OW", Buffer.alloc(64, 7)],
      ]),
    );
    expect(elements.has(0x00080051) || elements.has(0x00100024)).toBe(false);
    expect([...elements.keys()].map(hex).slice(-3)).toEqual(["04000561", "04010010", "7fe00010"]);
    const [item] = elements.get(0x04000561)?.items ?? [];
    const told = elementsOf(item ?? Buffer.alloc(0), encoding).get(0x04000550)?.items[0] ?? Buffer.alloc(0);
    expect([...elementsOf(told, encoding).keys()].map(hex)).toEqual([
      "00080050", "00080051", "00100020", "00100021", "00100024",
    ]); // biome-ignore format: one line
  });

  test("lengths of touched groups follow, others stay", async () => {
    const encoding = encodingOf(syntax);
    const length = (group: number, octets: number): Written => {
      const value = Buffer.alloc(4);
      if (encoding.isBig) value.writeUInt32BE(octets);
      else value.writeUInt32LE(octets);
      return [group * 65_536, "UL", value];
    };
    const elements = await spliced(sorted([...basic, length(8, 11), length(16, 12), length(32, 13)]));
    const read = (tag: number) => {
      const value = elements.get(tag)?.value ?? Buffer.alloc(4);
      return encoding.isBig ? value.readUInt32BE() : value.readUInt32LE();
    };
    const size = (group: number) =>
      [...elements]
        .filter(([tag]) => tag >>> 16 === group && (tag & 0xffff) > 0)
        .reduce((sum, [, { size }]) => sum + size, 0);
    expect([read(0x00080000), read(0x00100000), read(0x00200000)]).toEqual([size(8), size(16), 13]);
  });
});

describe("what is not changed", () => {
  test("an instance that has our identity already is not touched at all", async () => {
    const file = fileOf(syntaxes.explicitLittle, basic);
    const same = { ...ours, patientId: "A1", issuerOfPatientId: "HOSPA", accessionNumber: undefined };
    expect(await splice(file, same)).toEqual(file);
  });

  test("an accession number is kept where the house says so", async () => {
    const file = await splice(fileOf(syntaxes.explicitLittle, basic), { ...ours, accessionNumber: undefined });
    const elements = elementsOf(file.subarray(readMeta(file).offset), encodingOf(syntaxes.explicitLittle));
    expect(elements.get(0x00080050)?.value.toString()).toBe("ACC1");
  });
});

describe("character sets", () => {
  const withCharset = (charset: string | undefined): Buffer =>
    fileOf(
      syntaxes.explicitLittle,
      charset === undefined ? basic.slice(1) : [[0x00080005, "CS", charset], ...basic.slice(1)],
    );
  test.each([
    ["ISO_IR 192", "病人7"],
    ["ISO_IR 100", "É7"],
  ] as const)("%s writes %s", async (charset, patientId) => {
    const file = await splice(withCharset(charset), { ...ours, patientId });
    const value = elementsOf(file.subarray(readMeta(file).offset), encodingOf(syntaxes.explicitLittle)).get(
      0x00100020,
    )?.value;
    expect(value?.toString(charset === "ISO_IR 100" ? "latin1" : "utf8").trimEnd()).toBe(patientId);
  });
  test.each([
    [undefined, "É7"],
    ["ISO_IR 100", "病人7"],
    ["GB18030", "病人7"],
    ["ISO_IR 192", "A\\B"],
    ["ISO_IR 192", "A".repeat(65)],
  ] as const)("%s refuses what it cannot write, without quoting it", async (charset, patientId) => {
    const refused = expect(splice(withCharset(charset), { ...ours, patientId })).rejects;
    await refused.toMatchObject({ code: "DICOM_UNSUPPORTED", message: expect.not.stringContaining(patientId) });
  });
});

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
    yield part10Header("1.2.840.10008.5.1.4.1.1.7", "2.25.1", syntax, "TEST");
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
