/**
 * What an information object says wrongly of itself: attributes of type 1 that are missing (PS3.3), lengths that a value
 * representation does not allow (PS3.5 6.2), character sets that are unknown or not declared. Real files have some of these;
 * none keeps an instance from being read.
 */
import type { Notes, Values } from "./dicom-tokens.ts";

export type DicomFinding = {
  /** Which grade of the configuration decides about it. */
  readonly about: "iod" | "charset";
  readonly code: "IOD_INCOMPLETE" | "IOD_LENGTH" | "CHARSET_UNKNOWN" | "CHARSET_UNDECLARED";
  readonly tags: readonly number[];
};

/** Attributes of type 1 by module. UIDs of study, series and instance are not here: without them nothing is accepted. */
const modules = {
  /** PS3.3 C.7.3.1 */
  generalSeries: [0x00080060],
  /** PS3.3 C.7.4.1 */
  frameOfReference: [0x00200052],
  /** PS3.3 C.7.6.2 */
  imagePlane: [0x00200032, 0x00200037, 0x00280030],
  /** PS3.3 C.7.6.3; the pixels themselves may be elsewhere. */
  imagePixel: [0x00280002, 0x00280004, 0x00280010, 0x00280011, 0x00280100, 0x00280101, 0x00280102, 0x00280103],
  /** PS3.3 C.8.2.1 */
  ctImage: [0x00080008, 0x00281052, 0x00281053],
  /** PS3.3 C.8.3.1 */
  mrImage: [0x00080008, 0x00180020, 0x00180021],
  /** PS3.3 C.8.6.1 */
  scEquipment: [0x00080064],
  /** PS3.3 C.17.2 and C.17.3 */
  srDocument: [0x00080023, 0x00080033, 0x00200013, 0x0040a040, 0x0040a491, 0x0040a493],
  /** PS3.3 C.17.6.2 and C.17.3 */
  keyObjects: [0x00080023, 0x00080033, 0x00200013, 0x0040a040],
  /** PS3.3 C.24.2 */
  encapsulatedDocument: [0x00200013, 0x00280301, 0x00420011, 0x00420012],
} as const;
type Module = keyof typeof modules;

/** Modules beside those of every composite instance, by SOP class below 1.2.840.10008.5.1.4.1.1 (PS3.4 B.5). */
const classes: Readonly<Record<string, readonly Module[]>> = {
  "1": ["imagePixel"],
  "1.1": ["imagePixel"],
  "1.2": ["imagePixel"],
  "2": ["imagePixel", "frameOfReference", "imagePlane", "ctImage"],
  "4": ["imagePixel", "frameOfReference", "imagePlane", "mrImage"],
  "6.1": ["imagePixel"],
  "7": ["imagePixel", "scEquipment"],
  "7.1": ["imagePixel", "scEquipment"],
  "7.2": ["imagePixel", "scEquipment"],
  "7.3": ["imagePixel", "scEquipment"],
  "7.4": ["imagePixel", "scEquipment"],
  "12.1": ["imagePixel"],
  "20": ["imagePixel"],
  "88.11": ["srDocument"],
  "88.22": ["srDocument"],
  "88.33": ["srDocument"],
  "88.34": ["srDocument"],
  "88.67": ["srDocument"],
  "88.59": ["keyObjects"],
  "104.1": ["encapsulatedDocument"],
  "104.2": ["encapsulatedDocument"],
};
const storage = "1.2.840.10008.5.1.4.1.1.";

/** Defined terms of Specific Character Set (PS3.3 C.12.1.1.2); ISO_IR 6 is none, and is what an empty value means. */
const charsets: ReadonlySet<string> = new Set([
  "",
  "ISO_IR 6",
  ...[13, 100, 101, 109, 110, 126, 127, 138, 144, 148, 166, 192, 203].map((number) => `ISO_IR ${number}`),
  ...[6, 13, 58, 87, 100, 101, 109, 110, 126, 127, 138, 144, 148, 149, 159, 166, 203].map(
    (number) => `ISO 2022 IR ${number}`,
  ),
  "GB18030",
  "GBK",
]);
const specificCharacterSet = 0x00080005;
/** Names and descriptions that are looked at for letters beyond ASCII. */
const texts: readonly number[] = [
  0x00080050, 0x00080080, 0x00080090, 0x00081010, 0x00081030, 0x0008103e, 0x00081040, 0x00081050, 0x00100010,
  0x00100020, 0x00100021,
];
const shiftOctet = 0x1b;

/** Findings of one instance; tags name what they are about. */
export function findingsOf(sopClassUid: string, values: Values, notes: Notes): readonly DicomFinding[] {
  const found = (about: DicomFinding["about"], code: DicomFinding["code"], tags: readonly number[]): DicomFinding[] =>
    tags.length > 0 ? [{ about, code, tags }] : [];
  const own = sopClassUid.startsWith(storage) ? (classes[sopClassUid.slice(storage.length)] ?? []) : [];
  const required = (["generalSeries", ...own] as const).flatMap((module): readonly number[] => modules[module]);
  const isBlank = (tag: number): boolean => values.get(tag)?.every((octet) => octet === 0 || octet === 0x20) ?? false;
  const missing = required.filter((tag) => (notes.lengths.get(tag) ?? 0) === 0 || isBlank(tag));

  const written = Buffer.from(values.get(specificCharacterSet) ?? []).toString("latin1");
  const terms = written.split("\\").map((term) => term.replace(/[\0 ]+$/, "").trimStart());
  const isKnown = terms.every((term) => charsets.has(term));
  const isDeclared = terms.some((term) => term !== "" && term !== "ISO_IR 6");
  const beyond = texts.filter((tag) => values.get(tag)?.some((octet) => octet > 0x7e || octet === shiftOctet));
  return [
    ...found("iod", "IOD_INCOMPLETE", missing),
    ...found("iod", "IOD_LENGTH", notes.unfit),
    ...found("charset", "CHARSET_UNKNOWN", isKnown ? [] : [specificCharacterSet]),
    ...found("charset", "CHARSET_UNDECLARED", isDeclared ? [] : beyond),
  ];
}

/** A tag as people write it. */
export const tagText = (tag: number): string => {
  const digits = tag.toString(16).padStart(8, "0");
  return `(${digits.slice(0, 4)},${digits.slice(4)})`;
};
