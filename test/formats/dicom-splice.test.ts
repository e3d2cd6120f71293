/** Our identity in a copy of an instance: what changes is what was asked for, and its record; every other octet stays. */
import { deflateRawSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { readMeta } from "../../formats/dicom.ts";
import { encodeElement, encodeItem } from "../../formats/dicom-encode.ts";
import { encodingOf } from "../../formats/dicom-tokens.ts";
import { elementsOf, hex } from "../fixtures/dicom-elements.ts";
import { basic, fileOf, ours, sorted, splice, syntaxes, type Written } from "./splicing.ts";

/** Tag and value of the elements of an item, for reading. */
const values = (bytes: Uint8Array, syntax: string): Record<string, string> =>
  Object.fromEntries(
    [...elementsOf(bytes, encodingOf(syntax))].map(([tag, { value }]) => [hex(tag), value.toString("utf8").trimEnd()]),
  );

/** A file whose data set is these octets. */
function withBody(syntax: string, body: Uint8Array): Buffer {
  const whole = fileOf(syntax, []);
  const head = whole.subarray(0, readMeta(whole).offset);
  return Buffer.concat([head, syntax === syntaxes.deflated ? deflateRawSync(body) : body]);
}

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

  test("an id of 65,535 octets, which no octet may be added to, is refused where its length is written with two", async () => {
    const encoding = encodingOf(syntax);
    const most = encodeElement(0x00100020, "LO", Buffer.alloc(65_534, "1"), encoding);
    const odd = Buffer.concat([most, Buffer.from("1")]);
    const at = encoding.isExplicit ? 6 : 4;
    odd[at + (encoding.isBig ? (encoding.isExplicit ? 1 : 3) : 0)] = 0xff;
    const out = splice(withBody(syntax, odd), ours);
    if (encoding.isExplicit) await expect(out).rejects.toMatchObject({ code: "TOO_LARGE" });
    else expect((await out).length).toBeGreaterThan(65_535);
  });

  test("an id of odd length is told padded: the item that tells it, and what comes after it, can be read", async () => {
    const encoding = encodingOf(syntax);
    // As some modalities write it, which PS3.5 7.1 does not allow.
    const odd = (tag: number, vr: string, value: string): Buffer => {
      const even = encodeElement(tag, vr, Buffer.from(`${value} `), encoding).subarray(0, -1);
      const at = encoding.isExplicit ? 6 : 4;
      even[at + (encoding.isBig ? (encoding.isExplicit ? 1 : 3) : 0)] = value.length;
      return even;
    };
    const before = basic.filter(([tag]) => tag !== 0x00100020);
    const octets = (written: readonly Written[]): Buffer =>
      Buffer.concat(written.map(([tag, vr, value]) => encodeElement(tag, vr, Buffer.from(value), encoding)));
    const [head, tail] = [before.filter(([tag]) => tag < 0x00100020), before.filter(([tag]) => tag > 0x00100020)];
    const body = Buffer.concat([octets(head), odd(0x00100020, "LO", "P12"), octets(tail)]);
    const out = await splice(withBody(syntax, body), ours);
    const elements = elementsOf(out.subarray(readMeta(out).offset), encoding, syntax === syntaxes.deflated);
    const [item] = elements.get(0x04000561)?.items ?? [];
    const told = elementsOf(item ?? Buffer.alloc(0), encoding).get(0x04000550);
    const [attributes] = told?.items ?? [];
    expect(values(attributes ?? Buffer.alloc(0), syntax)).toEqual({
      "00080050": "ACC1",
      "00100020": "P12",
      "00100021": "HOSPA",
    });
    // Its items are all that a sequence holds.
    expect(told?.value.length).toBe(8 + (attributes?.length ?? 0));
    expect((told?.value.length ?? 1) % 2).toBe(0);
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
