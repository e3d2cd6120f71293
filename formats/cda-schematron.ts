/**
 * Schematron: compiled stylesheets of a folder of the house, run by SaxonJS, which whoever uses this installs beside SEMRS
 * (its licence is Saxonica's own). It works on the ClinicalDocument alone and only in a worker: it takes tenths of a second.
 */
import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { XmlDocument, XmlElement } from "libxml2-wasm";
import { Fault } from "../errors.ts";
import { type CdaFinding, maxFindings, toldOf } from "./cda-finding.ts";
import { type CdaXml, elements, placeIn, value } from "./cda-xml.ts";

/** What is used of SaxonJS 2. */
type Saxon = {
  transform(
    options: { stylesheetInternal: unknown; sourceText: string; destination: "serialized" },
    how: "sync",
  ): { readonly principalResult: string };
  getResource(options: { text: string; type: "xml" }): Promise<unknown>;
  readonly XPath: { evaluate(xpath: string, context: unknown, options: { params: object }): unknown };
};

const maxStylesheets = 16;
const maxTestLength = 160;
/** Assertions and reports of one stylesheet that are looked through for errors. */
const maxReported = 100_000;
const compiledName = /\.sef\.json$/;
const stylesheetName = /\.xslt?$/;

/** The stylesheets of a folder; CONFIG_INVALID when there are none, or nothing that runs them. */
export function checkSchematron(folder: string): void {
  stylesheetsOf(folder);
  saxon();
}

function stylesheetsOf(folder: string): readonly string[] {
  let names: readonly string[];
  try {
    names = readdirSync(folder)
      .filter((name) => compiledName.test(name) || stylesheetName.test(name))
      .sort();
  } catch (cause) {
    throw new Fault("CONFIG_INVALID", `${folder} cannot be read; it is the folder of compiled Schematron`, { cause });
  }
  if (names.length === 0 || names.length > maxStylesheets)
    throw new Fault("CONFIG_INVALID", `${folder} has no .sef.json, .xsl or .xslt, or over ${maxStylesheets}`);
  return names.map((name) => join(folder, name));
}

let loaded: Saxon | undefined;

function saxon(): Saxon {
  try {
    loaded ??= createRequire(import.meta.url)("saxon-js") as Saxon;
    return loaded;
  } catch (cause) {
    throw new Fault("CONFIG_INVALID", "Schematron needs saxon-js, which is not installed: npm install saxon-js", {
      cause,
    });
  }
}

/** What the stylesheets of a folder say against the document, as findings of its rules. */
export async function schematronErrors(cda: CdaXml, folder: string): Promise<readonly CdaFinding[]> {
  // With the namespaces that its package declares for it.
  const source = cda.root.canonicalizeToString();
  const found: CdaFinding[] = [];
  for (const path of stylesheetsOf(folder)) {
    found.push(...findingsOf(cda, await reported(path, source)));
    if (found.filter(({ severity }) => severity === "error").length >= maxFindings) break;
  }
  return toldOf(found);
}

/** The SVRL that a stylesheet makes of a document; its own failure may quote the document and is told by kind. */
async function reported(path: string, source: string): Promise<string> {
  const engine = saxon();
  try {
    if (compiledName.test(path)) {
      const stylesheetInternal: unknown = JSON.parse(readFileSync(path, "utf8"));
      return engine.transform({ stylesheetInternal, sourceText: source, destination: "serialized" }, "sync")
        .principalResult;
    }
    const document = await engine.getResource({ text: source, type: "xml" });
    return String(
      engine.XPath.evaluate(
        "transform(map{'stylesheet-location': $at, 'source-node': $document, 'delivery-format': 'serialized', 'cache': true()})?output",
        null,
        { params: { at: pathToFileURL(path).href, document } },
      ),
    );
  } catch (cause) {
    const name = path.replace(/^.*[\\/]/, "");
    throw new Fault("CDA_RULE", `the Schematron ${name} ended with an error of its own; try it outside`, { cause });
  }
}

const failed =
  "//*[namespace-uri()='http://purl.oclc.org/dsdl/svrl'][local-name()='failed-assert' or local-name()='successful-report']";

/** The text of an assertion may quote the document: what is told is its id and the test itself, which are the schema's. */
function findingsOf(cda: CdaXml, svrl: string): readonly CdaFinding[] {
  const report = XmlDocument.fromString(svrl);
  try {
    const all = elements(report.root, failed, maxReported).map((each) => {
      const role = `${value(each, "@role") ?? value(each, "@flag") ?? ""}`.toLowerCase();
      return { each, severity: /^(warn|info)/.test(role) ? ("warning" as const) : ("error" as const) };
    });
    return toldOf(all).map(({ each, severity }) => {
      const element = elementAt(cda, value(each, "@location") ?? "") ?? cda.root;
      const expected = each.name === "failed-assert" ? "is not so" : "is so";
      const test = (value(each, "@test") ?? "").replaceAll(/\s+/g, " ").slice(0, maxTestLength);
      return {
        check: "rules",
        id: `schematron/${(value(each, "@id") ?? "rule").slice(0, 64)}`,
        severity,
        message: `${expected}: ${test}`,
        ...placeIn(cda, element),
      };
    });
  } finally {
    report.dispose();
  }
}

/** A step of the paths that Schematron compilers write: /*:name[namespace-uri()='…'][2], /Q{…}name[2], /h:name[2]. */
const step =
  /\/(?:Q\{[^}]*\}|\*:|[\w.-]+:)?([\w.-]+)(?:\[namespace-uri\(\)\s*=\s*(?:'[^']*'|"[^"]*")\])?(?:\[(\d+)\])?/gy;
const maxSteps = 300;

function elementAt({ root }: CdaXml, location: string): XmlElement | undefined {
  const steps = [...location.matchAll(step)].slice(1, maxSteps);
  if (steps.length === 0) return undefined;
  const path = steps.map(([, name, nth = "1"]) => `*[local-name()='${name}'][${nth}]`).join("/");
  const [found] = root.find(path);
  return found instanceof XmlElement ? found : undefined;
}
