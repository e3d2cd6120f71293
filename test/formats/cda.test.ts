/** CDA documents: every fixture with its verdict and why, the hard rules one by one, bombs, encodings, facts. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { Fault } from "../../errors.ts";
import { readCda } from "../../formats/cda.ts";
import { findingText } from "../../formats/cda-finding.ts";
import { examineDocument } from "../../formats/cda-pool.ts";
import { timeOf } from "../../formats/cda-time.ts";
import { cda, chen } from "../fixtures/documents.ts";
import { fixtures } from "../peers.ts";

const { available, path: folder, reason } = fixtures("cda");
const { path: schema } = fixtures("cda-schema");
const read = (name: string): Buffer => readFileSync(join(folder, name));

/** How a document is answered: refused with the place, accepted as it stands, or accepted with what the schema finds. */
type Row = readonly [verdict: "accepted" | "CDA_INVALID" | "schema", why: string];

const verdicts: Readonly<Record<string, Row>> = {
  "au-CDA-PCEHR_Prescription_Record-1B-copy_of_3A.xml": ["schema", "/*[11]"],
  "au-CDA-PCEHR_Prescription_Record-3A.xml": ["schema", "/*[11]"],
  "bad-declared-utf8-but-latin1.xml": ["CDA_INVALID", "not well-formed XML (line 16, column 10)"],
  "bad-id-nullFlavor.xml": ["CDA_INVALID", "no id with a root (line 14, column 2, /ClinicalDocument/id)"],
  "bad-ipf-CDADocumentWithXXEInjection.xml": ["CDA_INVALID", "DOCTYPE"],
  "bad-no-recordTarget.xml": ["CDA_INVALID", "no recordTarget"],
  "bad-truncated.xml": ["CDA_INVALID", "not well-formed XML (line 608"],
  "bad-two-recordTargets.xml": ["CDA_INVALID", "(line 38, column 17, /ClinicalDocument/recordTarget[2])"],
  "bad-two-roots.xml": ["CDA_INVALID", "not well-formed XML (line 1099"],
  "bad-wrong-namespace.xml": ["CDA_INVALID", "neither ClinicalDocument"],
  "chb-Allscripts_Samples-C-CDA_101693_20130617091427_Kidd_Kari_CCDA.xml": ["accepted", ""],
  "chb-Cerner_Samples-problems-and-medications.xml": ["accepted", ""],
  "chb-EMERGE-Patient-512.xml": ["accepted", ""],
  "chb-Greenway_Samples-26933_ExportSummary_CCDA.xml": ["accepted", ""],
  "chb-Kareo_Samples-Kareo_SummaryOfCare_export_Joey_Miller.xml": ["accepted", ""],
  "chb-NextGen_Samples-CCDA_Sample_NextGen_JonesIsabella.txt": ["accepted", ""],
  "chb-Partners_HealthCare-LMR1TEST.xml": ["accepted", ""],
  "chb-PracticeFusion_Samples-MaryGrant-ClinicalSummary.xml": ["accepted", ""],
  "chb-nonxml-UD.sample.xml": ["accepted", ""],
  "de-teleneps-example-1.xml": ["accepted", ""],
  "de-teleneps-example-2.xml": ["schema", "component[11]/section/templateId"],
  "enc-tw-big5.xml": ["accepted", ""],
  "enc-tw-utf16be-bom.xml": ["accepted", ""],
  "enc-tw-utf16le-bom.xml": ["accepted", ""],
  "enc-tw-utf8-bom-crlf.xml": ["accepted", ""],
  "enc-us-iso-8859-1.xml": ["accepted", ""],
  "evil-billion-laughs.xml": ["CDA_INVALID", "DOCTYPE"],
  "evil-deep-5000.xml": ["CDA_INVALID", "nested elements"],
  "evil-narrative-xss.xml": ["schema", "an attribute that is not allowed"],
  "evil-nonxmlbody-html-b64.xml": ["accepted", ""],
  "evil-nonxmlbody-js-ref.xml": ["accepted", ""],
  "evil-proto-key.xml": ["CDA_INVALID", "no id with a root"],
  "evil-stylesheet-pi.xml": ["accepted", ""],
  "evil-xinclude.xml": ["CDA_INVALID", "no id with a root"],
  "evil-xxe-dtd-loopback.xml": ["CDA_INVALID", "DOCTYPE"],
  "evil-xxe-file.xml": ["CDA_INVALID", "DOCTYPE"],
  "fr-CSE-CS24_2024.01.xml": ["accepted", ""],
  "fr-LDL-EES_2022.01.xml": ["accepted", ""],
  "fr-TLM-DA_2022.01_TE1_anamnèse-non-structurée.xml": ["accepted", ""],
  "fr-VAC_2023.01.xml": ["accepted", ""],
  "fr-large-OPH-CR-RTN_2022.01.xml": ["accepted", ""],
  "fr-pdf-BIO-CR-BIO_2024.01_DEP-CCU-HPV-structuré-CYTO-pdf.xml.xml": ["schema", "expected effectiveTime, performer"],
  "hl7-C-CDA_R2-1_CCD.xml": ["accepted", ""],
  "hl7-cda-invalid-order.xml": ["CDA_INVALID", "effectiveTime is missing or no time (line 18, column 2"],
  "hl7-normative-SampleCDADocument.xml": ["accepted", ""],
  "hl7-sampleCCD.xml": ["accepted", ""],
  "hl7ex-Care_Plan.xml": ["accepted", ""],
  "hl7ex-Consult_Document_Closing_Referral_C-CDAR2.1_.xml": ["schema", "text where only elements may be"],
  "hl7ex-Health_Concerns_Link_to_Problems_Section_C-CDA2.1_.xml": ["CDA_INVALID", "(line 61, column 74)"],
  "hl7ex-Intervention_Planned_Referral_and_Note_Completeting_Referral_C-CDAR2.1_.xml": ["CDA_INVALID", "neither"],
  "hl7ex-Referral_Note.xml": ["schema", "participantRole"],
  "ipf-CCD_HITSP_C32v2.4_16SectionsWithEntries.xml": ["schema", "performer[1]/assignedEntity/assignedPerson/birthTime"],
  "ipf-HandP_1.xml": ["accepted", ""],
  "ipf-ascii-12AB78.xml": ["schema", "section/text/table[1]"],
  "jdd-MyraJones_CCD_RefSum_CERTDAY.xml": ["accepted", ""],
  "jdd-RN.xml": ["accepted", ""],
  "jdd-SusanTurner.xml": ["accepted", ""],
  "onc-AppendixAandB.xml": ["schema", "child elements are missing"],
  "onc-Sample_CCDA_CCD_b1_Ambulatory_v2.xml": ["accepted", ""],
  "onc-Sample_addSchemaErrors.xml": ["schema", "guardian/addr"],
  "onc-maritalstatus.xml": ["CDA_INVALID", "no id with a root"],
  "tw-ToFHIRDicom_1_CT.xml": ["accepted", ""],
  "tw-ToFHIRLab_0.xml": ["schema", "expected component (line 64, column 5, /ClinicalDocument/documentationOf)"],
  "tw-ToFHIRLab_1.xml": ["accepted", ""],
  "ver-1-original.xml": ["accepted", ""],
  "ver-2-RPLC.xml": ["accepted", ""],
  "ver-3-APND.xml": ["accepted", ""],
  "ver-4-XFRM.xml": ["accepted", ""],
};

describe.skipIf(!available)(`every fixture has its verdict ${reason}`, () => {
  test("none is left out", () => {
    expect(Object.keys(verdicts)).toEqual(
      readdirSync(folder)
        .filter((name) => name !== "SOURCES.md")
        .sort(),
    );
  });

  test.each(Object.entries(verdicts))("%s: %j", async (name, [verdict, why]) => {
    const examined = await examineDocument(read(name), { schema }).catch((thrown: unknown) => thrown);
    if (examined instanceof Fault) {
      expect([examined.code, examined.message]).toEqual([verdict, expect.stringContaining(why)]);
      return;
    }
    const { findings } = examined as Awaited<ReturnType<typeof examineDocument>>;
    expect(findings.length > 0 ? "schema" : "accepted").toBe(verdict);
    expect(findings.map(findingText).join("\n")).toContain(why);
  });
});

describe("hard rules", () => {
  const sample = Buffer.from(
    cda({ extension: "E.1", patient: chen, code: "11502-2", display: "d", title: "t", body: "b", isBare: true }),
  ).toString("utf8");
  const changed = (from: string | RegExp, to: string): Buffer => {
    const text = sample.replace(from, to);
    if (text === sample) throw new Error("nothing was changed");
    return Buffer.from(text);
  };
  test.each<readonly [string, string | RegExp, string, string]>([
    ["no id", /<id [^>]*extension="E\.1"[^>]*\/>/, "", "no id with a root (line 2, column 1, /ClinicalDocument)"],
    ["two ids", /(<id [^>]*extension="E\.1"[^>]*\/>)/, "$1$1", "several ids instead of one"],
    ["no recordTarget", /<recordTarget[\s\S]*<\/recordTarget>/, "", "no recordTarget"],
    ["two recordTargets", /(<recordTarget[\s\S]*<\/recordTarget>)/, "$1$1", "/ClinicalDocument/recordTarget[2])"],
    ["a patient without an id", /(<patientRole[^>]*>)[\s\S]*(<\/patientRole>)/, "$1$2", "no patient id"],
    ["no code", /<code code="11502-2" [^>]*displayName[^>]*\/>/, "", "no code"],
    ["no custodian", /<custodian[\s\S]*<\/custodian>/, "", "no custodian"],
    ["no time", /<effectiveTime value="[^"]*"\/>/, "", "effectiveTime"],
    ["a time that is none", /<effectiveTime value="[^"]*"\/>/, '<effectiveTime value="20260230"/>', "no time"],
    ["a DOCTYPE", /^(<\?xml[^>]*>)?/, "$1<!DOCTYPE ClinicalDocument>", "a DOCTYPE is not accepted"],
    ["another root", /ClinicalDocument/g, "Document", "the root is neither"],
  ])("%s is refused", (_what, from, to, why) => {
    expect(() => readCda(changed(from, to))).toThrow(expect.objectContaining({ code: "CDA_INVALID" }));
    expect(() => readCda(changed(from, to))).toThrow(why);
  });
  test("a package of two documents is refused", () => {
    const inner = sample.replace(/^<\?xml[^>]*>/, "");
    const wrap = (content: string): Buffer =>
      Buffer.from(
        `<cdp:ContentPackage xmlns:cdp="http://www.hl7.org.tw/EMR/CDocumentPayload/v1.0"><cdp:ContentContainer><cdp:StructuredContent>${content}</cdp:StructuredContent></cdp:ContentContainer></cdp:ContentPackage>`,
      );
    expect(readCda(wrap(inner))).toMatchObject({ isPackaged: true });
    expect(() => readCda(wrap(inner + inner))).toThrow("several clinical documents instead of one");
    expect(() => readCda(wrap(""))).toThrow("none instead of one");
  });
});

describe("bombs are refused before a parser works on them", () => {
  const head = '<ClinicalDocument xmlns="urn:hl7-org:v3">';
  test.each([
    [
      "entities",
      `<!DOCTYPE a [<!ENTITY b "${"c".repeat(1000)}">]>${head}${"&b;".repeat(10_000)}</ClinicalDocument>`,
      "DOCTYPE",
    ],
    ["depth", head + "<a>".repeat(257), "nested elements"],
    ["elements", head + "<a/>".repeat(200_001), "elements"],
    [
      "attributes of one element",
      `${head}<a ${Array.from({ length: 129 }, (_, i) => `a${i}=""`).join(" ")}/>`,
      "attributes in one",
    ],
    ["attributes", head + `<a ${'b="" c="" d="" '.repeat(1)}/>`.repeat(133_400), "attributes"],
    ["references", head + "&#65;".repeat(100_001), "references"],
  ])("%s", (_what, text, why) => {
    expect(() => readCda(Buffer.from(text))).toThrow(why);
  });
  test("comments, CDATA and quoted signs are no markup", () => {
    const text = `${head}<!-- ${"<a>".repeat(300)} --><x><![CDATA[${"<a>".repeat(300)}]]></x><y z="${"&lt;>".repeat(300)}"/></ClinicalDocument>`;
    expect(() => readCda(Buffer.from(text))).toThrow("no id with a root");
  });
});

describe("encodings", () => {
  const document = '<ClinicalDocument xmlns="urn:hl7-org:v3"/>';
  test.each([
    [
      "UTF-16 without saying so, declared UTF-8",
      Buffer.from(`\ufeff<?xml version="1.0" encoding="UTF-8"?>${document}`, "utf16le"),
    ],
    ["octets declared UTF-16", Buffer.from(`<?xml version="1.0" encoding="UTF-16"?>${document}`)],
    ["a UTF-8 mark, declared Big5", Buffer.from(`\ufeff<?xml version="1.0" encoding="Big5"?>${document}`)],
    ["UTF-7", Buffer.from(`<?xml version="1.0" encoding="UTF-7"?>${document}`)],
    ["ISO-2022-JP", Buffer.from(`<?xml version="1.0" encoding="ISO-2022-JP"?>${document}`)],
    ["an encoding that nobody knows", Buffer.from(`<?xml version="1.0" encoding="x-mine"?>${document}`)],
  ])("%s is refused", (_what, bytes) => {
    expect(() => readCda(bytes)).toThrow("the declared encoding");
  });
  test("UTF-32 is refused", () => {
    expect(() => readCda(Buffer.from("fffe00003c000000", "hex"))).toThrow("UTF-32");
  });
  test.skipIf(!available)("one document in five encodings has the same facts", () => {
    const packaged = readCda(read("tw-ToFHIRLab_1.xml"));
    for (const name of [
      "enc-tw-big5.xml",
      "enc-tw-utf16be-bom.xml",
      "enc-tw-utf16le-bom.xml",
      "enc-tw-utf8-bom-crlf.xml",
    ])
      expect(readCda(read(name)), name).toEqual({ ...packaged, isPackaged: false });
  });
});

describe.skipIf(!available)("facts", () => {
  test("of an imaging report (EEC 116)", () => {
    const study = "1.3.6.1.4.1.14519.5.2.1.7085.2626.192997540292073877946622133586";
    expect(readCda(read("tw-ToFHIRDicom_1_CT.xml"))).toMatchObject({
      isPackaged: true,
      form: "116",
      id: { root: "2.16.886.104.100565.100008" },
      setId: null,
      versionNumber: null,
      templateIds: [{ root: "2.16.886.101.20003.20014", extension: "116_V108.0" }],
      effectiveTime: "20240811143308",
      effectiveTimePrecision: "second",
      effectiveTimeZone: null,
      code: { code: "18782-3", codeSystem: "2.16.840.1.113883.6.1", displayName: "X-ray Report" },
      title: "X光檢查報告單",
      confidentialityCode: "N",
      languageCode: "zh-TW",
      patientIds: [{ extension: "C3N-00953" }, { root: "2.16.886.101.20003.20001", extension: "AA44444454" }],
      patientNames: ["C3N-00953"],
      birthTime: "19900203",
      gender: "F",
      authors: [{ ids: [{ extension: "M010" }], name: "王報告", time: "20240811143308" }],
      custodian: { ids: [{ extension: "1132070011" }] },
      legalAuthenticator: { name: "王報告", time: "20240811143308" },
      orderIds: [{ root: study, extension: "2794663908550664" }, { extension: "XXX" }, { extension: "XXX" }],
      accessionNumbers: ["2794663908550664"],
      serviceEvents: [{ ids: [{ root: study, extension: "" }], start: "20100213", stop: "20100213" }],
      encounter: { ids: [{ extension: "L024070302352" }], code: { code: "AMB" }, department: "腦血管科" },
      studyUids: [study],
    });
  });
  test("of a version, with what it is related to", () => {
    for (const type of ["RPLC", "APND", "XFRM"] as const) {
      const name = { RPLC: "ver-2-RPLC.xml", APND: "ver-3-APND.xml", XFRM: "ver-4-XFRM.xml" }[type];
      expect(readCda(read(name))).toMatchObject({
        setId: { root: "2.16.840.1.113883.19.7", extension: "BB35" },
        relatedDocuments: [{ type, uniqueId: "2.16.840.1.113883.19.4^c266" }],
        encounter: { facility: { code: "GIM" }, start: "20000407", stop: "20000407" },
      });
    }
    expect(readCda(read("ver-2-RPLC.xml")).versionNumber).toBe("2");
  });
  test("several authors, and a zone that is written", () => {
    expect(readCda(read("tw-ToFHIRLab_0.xml")).authors.map(({ name }) => name)).toEqual(["簡季施", "石季施"]);
    expect(readCda(read("hl7-C-CDA_R2-1_CCD.xml"))).toMatchObject({
      effectiveTime: "201308151030-0800",
      effectiveTimePrecision: "minute",
      effectiveTimeZone: "-0800",
    });
  });
});

test.each([
  ["2026", "year", null],
  ["202602", "month", null],
  ["20240229", "day", null],
  ["2026011508", "hour", null],
  ["202601150830+08", "minute", "+08"],
  ["20260115083059", "second", null],
  ["20101028092016.829-0500", "fraction", "-0500"],
])("%s is a time to the %s", (text, precision, zone) => {
  expect(timeOf(text)).toEqual({ text, precision, zone });
});
test.each(["", "0000", "20261", "202613", "20260230", "2026011524", "202601150860", "2000-04-07", "20260115+1500"])(
  "%j is no time",
  (text) => {
    expect(timeOf(text)).toBeUndefined();
  },
);
