/** Rule sets: what is shipped against real documents, what a rule can say, and what is told of a file that is wrong. */
import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { Fault } from "../../errors.ts";
import { examine } from "../../formats/cda-examine.ts";
import { type CdaFinding, findingText } from "../../formats/cda-finding.ts";
import { readRuleSets } from "../../pipeline/rule-sets.ts";
import { cda, chen } from "../fixtures/documents.ts";
import { fixtures } from "../peers.ts";

const { available, path: folder, reason } = fixtures("cda");
const own = join(import.meta.dirname, "..", "fixtures", "cda");
const shipped = ["cda-r2-header", "eec-113", "eec-114", "eec-115", "eec-116", "eec-121"];
const { rules, findings } = readRuleSets(shipped, "/");

test("the shipped sets are read without a finding, what they include once", () => {
  expect(findings).toEqual([]);
  expect(new Set(rules.map(({ id }) => id)).size).toBe(rules.length);
  expect(rules.map(({ id }) => id.split("/")[0])).toEqual(expect.arrayContaining([...shipped, "eec-header"]));
});

describe.skipIf(!available)(`real documents ${reason}`, () => {
  const documents = readdirSync(folder).filter((name) => /^(au|chb|de|enc|fr|hl7|hl7ex|ipf|jdd|tw|ver)-/.test(name));
  test.each(documents)("%s breaks no shipped rule that is an error", (name) => {
    const told = accepted(readFileSync(join(folder, name)));
    expect(told.filter(({ severity }) => severity === "error").map(findingText)).toEqual([]);
  });
  test("what is recommended and missing is a warning with its place", () => {
    expect(
      accepted(readFileSync(join(folder, "chb-Kareo_Samples-Kareo_SummaryOfCare_export_Joey_Miller.xml"))),
    ).toContainEqual(
      expect.objectContaining({
        id: "cda-r2-header/confidentiality-value",
        severity: "warning",
        xpath: "/ClinicalDocument",
      }),
    );
  });
});
test.each(readdirSync(own))("%s breaks no shipped rule that is an error", (name) => {
  expect(accepted(readFileSync(join(own, name))).filter(({ severity }) => severity === "error")).toEqual([]);
});

/** Findings; none for a document that the hard rules refuse. */
function accepted(bytes: Uint8Array): readonly CdaFinding[] {
  try {
    return examine(bytes, { rules }).findings;
  } catch (thrown) {
    if (thrown instanceof Fault) return [];
    throw thrown;
  }
}

describe("every shipped rule can be broken", () => {
  const report = (form: string): string =>
    Buffer.from(
      cda({ form, extension: "R.1", patient: chen, code: "1-8", display: "d", title: "t", body: "b" }),
    ).toString("utf8");
  test.each(rules.map((rule) => [rule.id, rule] as const))("%s", (id, rule) => {
    const text = report(rule.forms?.[0] ?? "113");
    const tried = breaks.map((change) => change(text)).filter((changed) => changed !== text);
    const told = tried.flatMap((changed) => accepted(Buffer.from(changed)).map((finding) => finding.id));
    expect(told).toContain(id);
  });
});

type Break = (text: string) => string;
const without =
  (pattern: RegExp): Break =>
  (text) =>
    text.replaceAll(pattern, "");
const into =
  (at: string, what: string): Break =>
  (text) =>
    text.replace(at, what + at);
const author = /<author[\s>][\s\S]*?<\/author>/g;
/** Ways to break a header; each rule is broken by one of them. */
const breaks: readonly Break[] = [
  (text) => text,
  without(/<typeId[^>]*>/g),
  without(/ codeSystem="[^"]*"/g),
  without(/<title>[\s\S]*?<\/title>/g),
  without(/<confidentialityCode[^>]*>/g),
  (text) => text.replace(/<confidentialityCode[^>]*>/, "<confidentialityCode/>"),
  without(/<languageCode[^>]*>/g),
  into("<recordTarget", '<versionNumber value="1"/>'),
  without(/<name>[\s\S]*?<\/name>/g),
  without(/<birthTime[^>]*>/g),
  without(/<administrativeGenderCode[^>]*>/g),
  without(author),
  without(/<time [^>]*>/g),
  (text) => text.replace(/(<assignedAuthor[^>]*>)\s*<id[^>]*>/, "$1"),
  (text) => text.replace(/(<representedCustodianOrganization[^>]*>)\s*<id[^>]*>/, "$1"),
  into("<component", "<legalAuthenticator/><legalAuthenticator/>"),
  into("<component", '<relatedDocument typeCode="X"/>'),
  into("<component", '<relatedDocument typeCode="RPLC"/><relatedDocument typeCode="APND"/>'),
  without(/<component[\s\S]*<\/component>/g),
  (text) => text.replace(/(<templateId extension="\d{3}[^>]*>)/, "$1$1"),
  (text) => text.replace(/(<templateId extension="\d{3})_V[^"]*/, "$1"),
  (text) => text.replace(/(<patientRole[^>]*>)\s*<id[^>]*>/, "$1"),
  (text) => text.replace(/(<patient[\s>][^>]*>|<patient>)\s*<id[^>]*>/, "$1"),
  without(/<componentOf[\s\S]*?<\/componentOf>/g),
  without(/<legalAuthenticator[\s\S]*?<\/legalAuthenticator>/g),
];

describe("a set of one's own", () => {
  const write = (text: string): string => {
    const path = join(mkdtempSync(join(tmpdir(), "semrs-rules-")), "mine.yaml");
    writeFileSync(path, text);
    return path;
  };
  const bytes = cda({ form: "113", extension: "O.1", patient: chen, code: "1-8", display: "d", title: "t", body: "b" });
  const told = (rule: string): readonly string[] => {
    const read = readRuleSets([write(`basedOn: us\nrules:\n  - { id: a, ${rule} }\n`)], "/");
    expect(read.findings).toEqual([]);
    return examine(bytes, { rules: read.rules }).findings.map(findingText);
  };
  test.each([
    ["what holds", "test: h:title, message: m", []],
    [
      "what does not",
      "test: h:realmCode, message: no realm",
      ["mine/a: no realm (line 2, column 136, /ClinicalDocument)"],
    ],
    ["another form's", 'test: false(), message: m, forms: ["116"]', []],
    ["this form's", 'test: false(), message: m, forms: ["113"]', ["mine/a: m (line 2, column 136, /ClinicalDocument)"]],
    ["another template's", "test: false(), message: m, templates: [1.2.3]", []],
    [
      "this template's",
      "test: false(), message: m, templates: [2.16.886.101.20003.20014]",
      [expect.stringContaining("mine/a")],
    ],
    [
      "each of a context",
      "context: h:component//h:section, test: h:id, message: m",
      [expect.stringMatching(/section\)$/)],
    ],
  ])("%s", (_what, rule, expected) => {
    expect(told(rule)).toEqual(expected);
  });
  const withInformants = (count: number): Buffer =>
    Buffer.from(
      Buffer.from(bytes)
        .toString("utf8")
        .replace(/<recordTarget/, `${"<informant/>".repeat(count)}$&`),
    );
  test("warnings, however many, hide no error", () => {
    const many = "{ id: many, context: h:informant, test: h:id, message: m, severity: warning }";
    const read = readRuleSets(
      [write(`basedOn: us\nrules:\n  - ${many}\n  - { id: e, test: h:realmCode, message: m }\n`)],
      "/",
    );
    const found = examine(withInformants(30), { rules: read.rules }).findings;
    expect(found.map(({ id }) => id)).toEqual(["mine/e", ...Array(19).fill("mine/many")]);
  });
  test("the last of thousands of elements of a context is asked, too", () => {
    const rule = "{ id: last, context: h:informant, test: following-sibling::h:informant, message: m }";
    const read = readRuleSets([write(`basedOn: us\nrules:\n  - ${rule}\n`)], "/");
    expect(examine(withInformants(3_000), { rules: read.rules }).findings).toMatchObject([{ id: "mine/last" }]);
  });
  test.each([
    ["an XPath that is none", "- { id: a, test: 'h:title[', message: m }", 3, "no XPath 1.0 expression"],
    ["a prefix that is not there", "- { id: a, test: 'x:title', message: m }", 3, "no XPath 1.0 expression"],
    ["a key that is not there", "- { id: a, test: h:title, mesage: m }", 3, 'did you mean "message"'],
    ["no rule at all", "- {}", 3, "required"],
    ["no YAML", "- {", 4, ""],
  ])("%s is told with file and line", (_what, rule, line, message) => {
    const path = write(`basedOn: us\nrules:\n  ${rule}\n`);
    const read = readRuleSets([path], "/");
    expect(read.rules).toEqual([]);
    expect(read.findings[0]).toMatchObject({ file: path, line, severity: "error" });
    expect(read.findings.map((finding) => finding.message).join()).toContain(message);
  });
  test("more sets than a channel has are told; none is left out in silence", () => {
    const sets = Array.from({ length: 65 }, () =>
      write("basedOn: us\nrules: [{ id: a, test: h:realmCode, message: m }]\n"),
    );
    expect(readRuleSets(sets.slice(1), "/").findings).toEqual([]);
    expect(readRuleSets(sets, "/").findings).toMatchObject([
      { code: "CONFIG_RULES", file: sets.at(-1), severity: "error" },
    ]);
  });
  test("a file that is not there", () => {
    expect(readRuleSets(["./none.yaml"], "/nowhere").findings).toMatchObject([{ code: "CONFIG_UNREADABLE" }]);
  });
});
