/** What instances say wrongly of themselves: attributes of type 1, lengths, character sets; nothing of it keeps one from being read. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { inspectDicom, part10Header, readHead } from "../../formats/dicom.ts";
import { encodeElement } from "../../formats/dicom-encode.ts";
import { tagText } from "../../formats/dicom-iod.ts";
import { encodingOf } from "../../formats/dicom-tokens.ts";
import { ctStudy, encapsulatedPdf, mrStudy, multiFrame } from "../fixtures/dicom.ts";
import { elementsOf } from "../fixtures/dicom-elements.ts";
import { fixtures } from "../peers.ts";

const explicitLittle = "1.2.840.10008.1.2.1";
const encoding = encodingOf(explicitLittle);

async function found(file: Uint8Array): Promise<readonly string[]> {
  const { sopClassUid, sopInstanceUid, transferSyntaxUid, offset } = readHead(file);
  const inspector = inspectDicom();
  await inspector.push(part10Header(sopClassUid, sopInstanceUid, transferSyntaxUid));
  await inspector.push(file.subarray(offset));
  await inspector.ended();
  inspector.finish();
  return inspector.findings().map(({ code, tags }) => `${code} ${tags.map(tagText).join(" ")}`);
}

const [ct] = ctStudy({ instancesPerSeries: 1, size: 8 });
const [pdf] = encapsulatedPdf();
type Replacement = readonly [vr: string, value: string | Buffer] | undefined;
/** A sample with some elements replaced, or left out. */
function changed(file: Uint8Array, replacements: Readonly<Record<number, Replacement>>): Buffer {
  const { offset } = readHead(file);
  const elements = [...elementsOf(file.subarray(offset), encoding)].map(
    ([tag, { octets }]): readonly [number, Buffer] => {
      if (!(tag in replacements)) return [tag, octets];
      const [vr, value] = replacements[tag] ?? ["", ""];
      return [
        tag,
        vr === "" ? Buffer.alloc(0) : encodeElement(tag, vr, Buffer.from(value as string, "latin1"), encoding),
      ];
    },
  );
  return Buffer.concat([file.subarray(0, offset), ...elements.map(([, octets]) => octets)]);
}
const ctBytes = ct?.bytes ?? Buffer.alloc(0);

test("our own samples have no findings", async () => {
  for (const { bytes } of [...ctStudy({ instancesPerSeries: 1 }), ...mrStudy(), ...encapsulatedPdf(), ...multiFrame()])
    expect(await found(bytes)).toEqual([]);
});

describe.each([
  ["a CT without Modality", ctBytes, { 524384: undefined }, ["IOD_INCOMPLETE (0008,0060)"]],
  ["a CT with an empty Modality", ctBytes, { 524384: ["CS", ""] }, ["IOD_INCOMPLETE (0008,0060)"]],
  [
    "a CT without geometry",
    ctBytes,
    { 2097202: undefined, 2621488: undefined },
    ["IOD_INCOMPLETE (0020,0032) (0028,0030)"],
  ],
  ["a PDF without its type", pdf?.bytes ?? ctBytes, { 4325394: undefined }, ["IOD_INCOMPLETE (0042,0012)"]],
  ["an unknown character set", ctBytes, { 524293: ["CS", "UTF-8"] }, ["CHARSET_UNKNOWN (0008,0005)"]],
  ["letters beyond ASCII without a character set", ctBytes, { 524293: undefined }, ["CHARSET_UNDECLARED (0010,0010)"]],
  ["ISO_IR 6 and letters beyond it", ctBytes, { 524293: ["CS", "ISO_IR 6"] }, ["CHARSET_UNDECLARED (0010,0010)"]],
  ["no character set, and none needed", ctBytes, { 524293: undefined, 1048592: ["PN", "Chen"] }, []],
  ["several character sets", ctBytes, { 524293: ["CS", "\\ISO 2022 IR 87"] }, []],
] as const)("%s", (_what, file, replacements: Readonly<Record<number, Replacement>>, expected) => {
  test("is told with its tags", async () => expect(await found(changed(file, replacements))).toEqual(expected));
});

test("a length that its value representation does not allow is told", async () => {
  const { offset } = readHead(ctBytes);
  const elements = elementsOf(ctBytes.subarray(offset), encoding);
  const private_ = (vr: string, value: Buffer): Buffer => {
    const head = encodeElement(0x00290010, vr, Buffer.alloc(0), encoding);
    head.writeUInt16LE(value.length, 6);
    return Buffer.concat([head, value]);
  };
  const file = (octets: Buffer): Buffer =>
    Buffer.concat([
      ctBytes.subarray(0, offset),
      ...[...elements].map(([tag, element]) => (tag === 0x00290010 ? octets : element.octets)),
    ]);
  expect(await found(file(private_("UL", Buffer.alloc(6))))).toEqual(["IOD_LENGTH (0029,0010)"]);
  expect(await found(file(private_("LO", Buffer.from("odd"))))).toEqual(["IOD_LENGTH (0029,0010)"]);
  expect(await found(file(private_("UL", Buffer.alloc(8))))).toEqual([]);
});

const folder = fixtures("dicom");
/** Of the third-party files that are read. */
const findings: Readonly<Record<string, readonly string[]>> = {
  "charset-big5-undeclared.dcm": ["CHARSET_UNDECLARED (0010,0010)"],
  "deflated-with-sq.dcm": ["IOD_INCOMPLETE (0008,0060)"],
};
const names = folder.available
  ? readdirSync(folder.path).filter(
      (name) => /\.dcm$/.test(name) && !/^malformed|charset-(empty|per)|no-pre/.test(name),
    )
  : [];

describe.skipIf(!folder.available)(`third-party instances ${folder.reason}`, () => {
  test.for(names)("%s", async (name) => {
    expect(await found(readFileSync(join(folder.path, name)))).toEqual(findings[name] ?? []);
  });
});
