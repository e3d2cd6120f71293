/** Instances of a few elements in any transfer syntax, with our identity spliced in: for tests of what that changes. */
import { deflateRawSync } from "node:zlib";
import { part10Header } from "../../formats/dicom.ts";
import { encodeElement } from "../../formats/dicom-encode.ts";
import { type DicomIdentity, spliceIdentity } from "../../formats/dicom-splice.ts";
import { encodingOf } from "../../formats/dicom-tokens.ts";

export const ours: DicomIdentity = {
  patientId: "B990011",
  issuerOfPatientId: "HOSPB",
  accessionNumber: "",
  modifiedAt: new Date("2026-01-18T08:00:01.234Z"),
  modifyingSystem: "hospital-b",
  source: "hospital-a",
};
export const syntaxes = {
  implicitLittle: "1.2.840.10008.1.2",
  explicitLittle: "1.2.840.10008.1.2.1",
  explicitBig: "1.2.840.10008.1.2.2",
  deflated: "1.2.840.10008.1.2.1.99",
} as const;

export async function* pieces(bytes: Uint8Array, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  for (let at = 0, n = 0; at < bytes.length; n += 1) {
    const size = sizes[n % sizes.length] ?? 1;
    yield bytes.subarray(at, at + size);
    at += size;
  }
}
export async function splice(
  bytes: Uint8Array,
  identity = ours,
  sizes: readonly number[] = [1 << 20],
): Promise<Buffer> {
  const out: Uint8Array[] = [];
  for await (const chunk of spliceIdentity(pieces(bytes, sizes), identity)) out.push(Uint8Array.from(chunk));
  return Buffer.concat(out);
}

export type Written = readonly [tag: number, vr: string, value: string | Buffer];
/** A file of these elements in a transfer syntax. */
export function fileOf(transferSyntaxUid: string, elements: readonly Written[]): Buffer {
  const encoding = encodingOf(transferSyntaxUid);
  const body = Buffer.concat(
    elements.map(([tag, vr, value]) =>
      encodeElement(tag, vr, typeof value === "string" ? Buffer.from(value, "utf8") : value, encoding),
    ),
  );
  const dataSet = transferSyntaxUid === syntaxes.deflated ? deflateRawSync(body) : body;
  return Buffer.concat([part10Header("1.2.840.10008.5.1.4.1.1.7", "2.25.1", transferSyntaxUid), dataSet]);
}
export const basic: readonly Written[] = [
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
export const sorted = (elements: readonly Written[]): readonly Written[] =>
  [...elements].sort(([one], [other]) => one - other);
