/** XML Schema of CDA: from a folder that the house configures, compiled once a process or worker. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join, sep } from "node:path";
import {
  type ErrorDetail,
  XmlBufferInputProvider,
  XmlDocument,
  XmlElement,
  XmlValidateError,
  XsdValidator,
  xmlCleanupInputProvider,
  xmlRegisterInputProvider,
} from "libxml2-wasm";
import { Fault } from "../errors.ts";
import { type CdaFinding, maxFindings } from "./cda-finding.ts";
import { type CdaXml, placeIn } from "./cda-xml.ts";

const maxSchemaFiles = 200;
const maxSchemaBytes = 16 * 1024 * 1024;
/** The schema to begin with, wherever the publishers put it; with the SDTC extensions first, which real documents use. */
const entries = ["CDA_SDTC.xsd", "CDA.xsd"] as const;

const compiled = new Map<string, XsdValidator>();
/** Folders that a process may compile; each keeps some MB. */
const maxCompiled = 16;

/** Compiles the schema of a folder, or does nothing if it is compiled; CONFIG_INVALID says what is wrong with it. */
export function compileSchema(folder: string): XsdValidator {
  const known = compiled.get(folder);
  if (known) return known;
  if (compiled.size >= maxCompiled) throw new Fault("CONFIG_INVALID", `over ${maxCompiled} schema folders`);
  const files = schemaFiles(folder);
  const names = Object.keys(files);
  const entry = entries
    .map((name) => names.find((file) => file.endsWith(`/${name}`)))
    .find((file) => file !== undefined);
  const bytes = files[entry ?? ""];
  if (!entry || !bytes) throw new Fault("CONFIG_INVALID", `${folder} has no ${entries.join(" or ")}`);
  // Only these files can be included, and only now: no document reaches a disk.
  xmlRegisterInputProvider(new XmlBufferInputProvider(files));
  try {
    const schema = XmlDocument.fromBuffer(bytes, { url: entry });
    try {
      const validator = XsdValidator.fromDoc(schema);
      compiled.set(folder, validator);
      return validator;
    } finally {
      schema.dispose();
    }
  } catch (cause) {
    throw new Fault(
      "CONFIG_INVALID",
      `${folder}: the XML Schema cannot be compiled; name the folder that has all it includes`,
      { cause },
    );
  } finally {
    xmlCleanupInputProvider();
  }
}

function schemaFiles(folder: string): Readonly<Record<string, Uint8Array>> {
  try {
    const names = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".xsd"));
    if (names.length > maxSchemaFiles)
      throw new Fault("CONFIG_INVALID", `${folder} has over ${maxSchemaFiles} schemas`);
    return Object.fromEntries(
      names.map((name) => {
        const path = join(folder, name);
        if (statSync(path).size > maxSchemaBytes)
          throw new Fault("CONFIG_INVALID", `${path} is over ${maxSchemaBytes} octets`);
        return [`schema:///${name.split(sep).join("/")}`, readFileSync(path)];
      }),
    );
  } catch (cause) {
    if (cause instanceof Fault) throw cause;
    throw new Fault("CONFIG_INVALID", `${folder} cannot be read; it is the folder of the XML Schema`, { cause });
  }
}

/** What the schema of a folder says against the document; libxml2's own text quotes values, so it is told by kind. */
export function schemaErrors(cda: CdaXml, folder: string): readonly CdaFinding[] {
  try {
    compileSchema(folder).validate(cda.root);
    return [];
  } catch (thrown) {
    if (!(thrown instanceof XmlValidateError)) throw thrown;
    return thrown.details.slice(0, maxFindings).map((detail) => findingOf(cda, detail));
  }
}

/** Texts of libxml2's schema errors, and what is said instead. Names in them come from the schema, never from the document. */
const kinds: readonly (readonly [pattern: RegExp, id: string, message: string])[] = [
  [/This element is not expected/, "element", "an element that is not expected here"],
  [/Missing child element/, "missing", "child elements are missing"],
  [/required but missing/, "missing", "a required attribute is missing"],
  [/attribute .* is not allowed/i, "attribute", "an attribute that is not allowed"],
  [/Character content/, "text", "text where only elements may be"],
  [/not a valid value|\[facet/, "value", "a value that its type does not allow"],
  [/xsi:type|type definition/, "type", "an xsi:type that is not there or not allowed"],
];

function findingOf(cda: CdaXml, detail: ErrorDetail): CdaFinding {
  const [, id, what] = kinds.find(([pattern]) => pattern.test(detail.message)) ?? [
    /./,
    "other",
    "not as the schema says",
  ];
  const [, expected = ""] = /Expected is (?:one of )?\( (.{0,2000}?) \)/.exec(detail.message) ?? [];
  const names = expected
    .replaceAll(/\{[^}]*\}/g, "")
    .split(", ")
    .slice(0, 8)
    .join(", ");
  const element = elementAt(cda, detail.xpath ?? "");
  const place = element ? placeIn(cda, element) : { line: detail.line, column: 0, xpath: "/ClinicalDocument" };
  const message = names ? `${what}; expected ${names}` : what;
  return { check: "schema", id: `schema/${id}`, severity: "error", message, ...place };
}

/** The node that libxml2's own path names; its prefixes are the document's, so names are compared as they are written. */
function elementAt({ root }: CdaXml, path: string): XmlElement | undefined {
  const steps = path.split("/").slice(1);
  if (steps.length === 0 || steps.length > 300 || !steps.every((step) => /^[\w.:*-]+(\[\d+\])?$/.test(step))) return;
  const expression = steps.map((step) => step.replace(/^([^*[]+)/, "*[name()='$1']")).join("/");
  const [found] = root.find(`/${expression}`);
  return found instanceof XmlElement ? found : undefined;
}
