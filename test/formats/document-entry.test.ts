/** Every attribute of a document entry, from real documents: one test an attribute. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { readCda } from "../../formats/cda.ts";
import {
  type DocumentEntry,
  documentEntry,
  documentEntrySchema,
  entryMapping,
  entryUuidOf,
} from "../../formats/document-entry.ts";
import { fixtures } from "../peers.ts";

const { available, path: folder, reason } = fixtures("cda");
const imaging = "tw-ToFHIRDicom_1_CT.xml";
const laboratory = "tw-ToFHIRLab_0.xml";
const vaccination = "fr-VAC_2023.01.xml";
const replacement = "ver-2-RPLC.xml";
const images = { studies: ["1.2.3"], modalities: ["CT"], series: 2, instances: 3 };

function entryOf(name: string): { readonly bytes: Buffer; readonly entry: DocumentEntry } {
  const bytes = readFileSync(join(folder, name));
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  const extra = { sha256, size: bytes.length, repositoryUniqueId: "hospital-a", images };
  return { bytes, entry: documentEntry(readCda(bytes), extra) };
}

const rows: readonly (readonly [attribute: keyof DocumentEntry, file: string, value: unknown])[] = [
  ["uniqueId", replacement, "2.16.840.1.113883.19.4^c266-RPLC"],
  ["entryUuid", replacement, entryUuidOf("hospital-a", "2.16.840.1.113883.19.4^c266-RPLC")],
  [
    "patientIds",
    laboratory,
    [
      { root: "2.16.886.104.100565.100008", extension: "44444462" },
      { root: "2.16.886.101.20003.20001", extension: "AA44444462" },
    ],
  ],
  ["form", laboratory, "113"],
  ["classCode", laboratory, "113"],
  ["classCode", vaccination, "11369-6"],
  ["typeCode", laboratory, "11502-2"],
  ["formatCode", laboratory, "2.16.886.101.20003.20014:113_V101.0"],
  ["practiceSettingCode", imaging, "腦血管科"],
  ["healthcareFacilityTypeCode", vaccination, "SA24"],
  ["confidentialityCode", imaging, "N"],
  ["eventCodeList", vaccination, ["11369-6"]],
  ["creationTime", vaccination, "20210409170000+0100"],
  ["serviceStartTime", imaging, "20100213"],
  ["serviceStopTime", imaging, "20100213"],
  ["author", imaging, "王報告"],
  ["legalAuthenticator", vaccination, "DECOURCY Marie"],
  ["title", laboratory, "血液檢驗報告"],
  ["languageCode", vaccination, "fr-FR"],
  ["mimeType", imaging, "text/xml"],
  ["hash", imaging, "1f"],
  ["size", imaging, 29_637],
  ["repositoryUniqueId", imaging, "hospital-a"],
  ["availabilityStatus", imaging, "approved"],
  [
    "referenceIdList",
    imaging,
    ["2794663908550664", "1.3.6.1.4.1.14519.5.2.1.7085.2626.192997540292073877946622133586"],
  ],
  ["objectType", imaging, "stable"],
  ["relatedDocuments", replacement, [{ type: "RPLC", uniqueId: "2.16.840.1.113883.19.4^c266" }]],
  ["images", imaging, images],
];

describe.skipIf(!available)(`attributes ${reason}`, () => {
  test.each(rows)("%s of %s", (attribute, name, value) => {
    const { bytes, entry } = entryOf(name);
    const expected = attribute === "hash" ? createHash("sha256").update(bytes).digest("hex") : value;
    expect(entry[attribute]).toEqual(expected);
  });
  test("none is left out, and what is made is what the schema takes", () => {
    expect(new Set(rows.map(([attribute]) => attribute))).toEqual(new Set(Object.keys(documentEntrySchema.shape)));
    expect(Object.keys(entryMapping).sort()).toEqual(Object.keys(documentEntrySchema.shape).sort());
    for (const name of [imaging, laboratory, vaccination, replacement])
      expect(documentEntrySchema.parse(entryOf(name).entry)).toEqual(entryOf(name).entry);
  });
});

test("an entry has one name for good, and another document another", () => {
  expect(entryUuidOf("a", "1.2^3")).toBe(entryUuidOf("a", "1.2^3"));
  expect(entryUuidOf("a", "1.2^3")).not.toBe(entryUuidOf("b", "1.2^3"));
  expect(entryUuidOf("a", "1.2^3")).toMatch(
    /^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
  );
});
