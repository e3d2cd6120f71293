/** Schematron by SaxonJS where it is installed; where it is not, a configuration that asks for it says so. */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { findingText } from "../../formats/cda-finding.ts";
import { examineDocument } from "../../formats/cda-pool.ts";
import { readConfig } from "../../pipeline/config.ts";
import { cda, chen } from "../fixtures/documents.ts";

const { resolve } = createRequire(import.meta.url);
const installed = (name: string): string | undefined => {
  try {
    return resolve(name);
  } catch {
    return undefined;
  }
};
const saxon = installed("saxon-js");
const xslt3 = installed("xslt3/package.json");

/** As a Schematron compiler writes it: SVRL with places, texts that quote the document. */
const stylesheet = `<xsl:stylesheet version="3.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform"
  xmlns:svrl="http://purl.oclc.org/dsdl/svrl" xmlns:h="urn:hl7-org:v3">
  <xsl:template match="/h:ClinicalDocument"><svrl:schematron-output>
    <xsl:if test="not(h:setId)"><svrl:failed-assert id="set" test="h:setId" location="/Q{{urn:hl7-org:v3}}ClinicalDocument[1]">
      <svrl:text><xsl:value-of select="h:title"/> has no setId</svrl:text></svrl:failed-assert></xsl:if>
    <xsl:for-each select="//h:patient[h:name]"><svrl:successful-report id="name" role="warning" test="h:name"
      location="/*:ClinicalDocument[namespace-uri()='urn:hl7-org:v3'][1]/*:recordTarget[namespace-uri()='urn:hl7-org:v3'][1]/*:patientRole[namespace-uri()='urn:hl7-org:v3'][1]/*:patient[namespace-uri()='urn:hl7-org:v3'][1]">
      <svrl:text><xsl:value-of select="h:name"/></svrl:text></svrl:successful-report></xsl:for-each>
  </svrl:schematron-output></xsl:template></xsl:stylesheet>`;
const report = cda({
  form: "113",
  extension: "S.1",
  patient: chen,
  code: "1-8",
  display: "d",
  title: "secret",
  body: "b",
});

function folderWith(name: string, text: string): string {
  const folder = mkdtempSync(join(tmpdir(), "semrs-schematron-"));
  writeFileSync(join(folder, name), text);
  return folder;
}
const found = async (schematron: string) => (await examineDocument(report, { schematron })).findings;

describe.skipIf(!saxon)(`Schematron ${saxon ? "" : "(saxon-js is not installed)"}`, () => {
  test("findings have the place, the severity and the test; never a word of the document, packaged or not", async () => {
    const findings = await found(folderWith("ours.xsl", stylesheet));
    expect(findings.map((each) => `${each.severity} ${findingText(each)}`)).toEqual([
      expect.stringMatching(/^error schematron\/set: is not so: h:setId \(line 2, column \d+, \/ClinicalDocument\)$/),
      expect.stringMatching(
        /^warning schematron\/name: is so: h:name \(line 14, column \d+, \/ClinicalDocument\/recordTarget\/patientRole\/patient\)$/,
      ),
    ]);
    expect(JSON.stringify(findings)).not.toMatch(/secret|陳/);
  });

  test.skipIf(!xslt3)(`a stylesheet that xslt3 compiled ${xslt3 ? "" : "(xslt3 is not installed)"}`, async () => {
    const folder = folderWith("source.xsl", stylesheet);
    const compiled = join(folder, "compiled");
    mkdirSync(compiled);
    const tool = join(dirname(xslt3 ?? ""), "xslt3.js");
    const to = join(compiled, "ours.sef.json");
    execFileSync(process.execPath, [tool, `-xsl:${join(folder, "source.xsl")}`, `-export:${to}`, "-nogo"]);
    expect(await found(compiled)).toEqual(await found(folder));
  });

  test("warnings, however many, hide no error", async () => {
    const many = stylesheet
      .replace(/(<xsl:if [\s\S]*?<\/xsl:if>)([\s\S]*?<\/xsl:for-each>)/, "$2$1")
      .replace(/<xsl:for-each [^>]*>/, '<xsl:for-each select="1 to 30">')
      .replace('select="h:name"', 'select="."');
    const findings = await found(folderWith("many.xsl", many));
    expect(findings.map(({ severity }) => severity)).toEqual(["error", ...Array(19).fill("warning")]);
  });

  test("one that fails by itself refuses, and quotes nothing", async () => {
    const broken = stylesheet.replace("<svrl:schematron-output>", `$&<xsl:sequence select="error((), string(.))"/>`);
    await expect(found(folderWith("broken.xsl", broken))).rejects.toMatchObject({
      code: "CDA_RULE",
      message: "the Schematron broken.xsl ended with an error of its own; try it outside",
    });
  });

  test("one that never ends is cut off, and the next document is examined", async () => {
    const endless = stylesheet
      .replace("<svrl:schematron-output>", `$&<xsl:call-template name="on"/>`)
      .replace(
        "</xsl:stylesheet>",
        `<xsl:template name="on"><xsl:iterate select="1 to 1000000000"><xsl:if test="string(.) = 'x'"><a/></xsl:if></xsl:iterate></xsl:template>$&`,
      );
    const folder = folderWith("endless.xsl", endless);
    await expect(examineDocument(report, { schematron: folder }, 3_000)).rejects.toMatchObject({ code: "CDA_INVALID" });
    expect(await found(folderWith("ours.xsl", stylesheet))).toHaveLength(2);
  });
});

describe("the configuration", () => {
  const shipped = readFileSync(join(import.meta.dirname, "../../channels.yaml"), "utf8");
  const findings = (schematron: string) => {
    const folder = mkdtempSync(join(tmpdir(), "semrs-schematron-"));
    mkdirSync(join(folder, "empty"));
    mkdirSync(join(folder, "some"));
    writeFileSync(join(folder, "some", "ours.xsl"), stylesheet);
    const file = join(folder, "channels.yaml");
    writeFileSync(file, shipped.replace("schema: skip,", `schema: skip, schematron: ${schematron},`));
    return readConfig(file, { SITE: "hospital-a" }).findings.map(({ code, message }) => `${code} ${message}`);
  };
  test.each(["nowhere", "empty"])("%s is told as CONFIG_SCHEMATRON", (folder) => {
    expect(findings(folder)).toEqual([expect.stringMatching(/^CONFIG_SCHEMATRON .*(cannot be read|has no)/)]);
  });
  test.skipIf(saxon)("without saxon-js it says what to install", () => {
    expect(findings("some")).toEqual([expect.stringContaining("npm install saxon-js")]);
  });
  test.skipIf(!saxon)("with it the house starts", () => {
    expect(findings("some").filter((each) => each.startsWith("CONFIG_SCHEMATRON"))).toEqual([]);
  });
});
