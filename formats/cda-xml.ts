/** libxml2 behind one door: parse, find the document, evaluate paths, tell places; its WebAssembly memory is always let go. */
import { ParseOption, XmlDocument, XmlElement, type XmlNode, XmlParseError, XmlXPath } from "libxml2-wasm";
import { Fault } from "../errors.ts";
import { type Markup, markupOf, placeOf } from "./cda-markup.ts";
import { namespaces } from "./cda-namespaces.ts";

const { h: hl7, cdp: package1 } = namespaces;

/** A parsed document, alive while `reading` runs. */
export type CdaXml = {
  readonly markup: Markup;
  /** The ClinicalDocument, wherever it stands. */
  readonly root: XmlElement;
  /** Inside a cdp:ContentPackage (EEC). */
  readonly isPackaged: boolean;
};

/** Where something was found; lines and columns from 1, the path in local names from ClinicalDocument on. */
export type CdaPlace = { readonly line: number; readonly column: number; readonly xpath: string };

/** Parses and hands over; CDA_INVALID or TOO_LARGE if it is not one well-formed ClinicalDocument within the limits. */
export function reading<T>(bytes: Uint8Array, use: (cda: CdaXml) => T): T {
  const opened = openCda(bytes);
  try {
    return use(opened.cda);
  } finally {
    opened.dispose();
  }
}

function openCda(bytes: Uint8Array): { readonly cda: CdaXml; dispose(): void } {
  const markup = markupOf(bytes);
  const document = parse(bytes);
  const dispose = (): void => document.dispose();
  try {
    if (document.dtd !== null) throw new Fault("CDA_INVALID", "a DOCTYPE is not accepted");
    const { root } = document;
    const isPackaged = root.name !== "ClinicalDocument";
    return { cda: { markup, root: clinicalDocument(root), isPackaged }, dispose };
  } catch (thrown) {
    dispose();
    throw thrown;
  }
}

/** The same for work that waits. */
export async function readingAsync<T>(bytes: Uint8Array, use: (cda: CdaXml) => Promise<T>): Promise<T> {
  const opened = openCda(bytes);
  try {
    return await use(opened.cda);
  } finally {
    opened.dispose();
  }
}

/** HUGE lifts libxml2's limits of text length and depth; ours have been kept by then, and there is no DTD. */
const option =
  ParseOption.XML_PARSE_NONET |
  ParseOption.XML_PARSE_NO_XXE |
  ParseOption.XML_PARSE_BIG_LINES |
  ParseOption.XML_PARSE_HUGE;

function parse(bytes: Uint8Array): XmlDocument {
  try {
    return XmlDocument.fromBuffer(bytes, { option });
  } catch (cause) {
    const { line, col } = (cause instanceof XmlParseError ? cause.details[0] : undefined) ?? {};
    throw new Fault("CDA_INVALID", `not well-formed XML${line ? ` (line ${line}, column ${col})` : ""}`);
  }
}

/** The one ClinicalDocument: the root, or inside an EEC ContentPackage. */
function clinicalDocument(root: XmlElement): XmlElement {
  if (root.name === "ClinicalDocument" && root.namespaceUri === hl7) return root;
  const refuse = (what: string): Fault => new Fault("CDA_INVALID", what);
  if (root.name !== "ContentPackage" || root.namespaceUri !== package1)
    throw refuse("the root is neither ClinicalDocument in urn:hl7-org:v3 nor an EEC ContentPackage");
  const [found, other] = elements(root, "cdp:ContentContainer/cdp:StructuredContent/h:ClinicalDocument", 2);
  if (!found || other)
    throw refuse(`the package holds ${other ? "several clinical documents" : "none"} instead of one`);
  return found;
}

/** Paths compiled once; they are the program's and the rule files', never a document's. */
const compiled = new Map<string, XmlXPath>();
const maxCompiled = 5_000;

function path(expression: string): XmlXPath {
  const known = compiled.get(expression);
  if (known) return known;
  const made = XmlXPath.compile(expression, namespaces);
  if (compiled.size < maxCompiled) compiled.set(expression, made);
  return made;
}

/** Whether an XPath 1.0 expression can be compiled with the prefixes above. */
export function isXPath(expression: string): boolean {
  const probe = XmlDocument.create();
  try {
    const root = probe.createRoot("probe");
    root.eval(path(expression));
    return true;
  } catch {
    return false;
  } finally {
    probe.dispose();
  }
}

/** The first of them. */
export const elements = (node: XmlNode, expression: string, limit: number): readonly XmlElement[] =>
  node
    .find(path(expression))
    .slice(0, limit)
    .filter((found) => found instanceof XmlElement);

/** Elements of one path in one place; no header of a record comes near. */
const maxListed = 256;

/** All of them; CDA_INVALID says of which there are too many: one that is not looked at might be another patient's id. */
export function allElements(node: XmlNode, expression: string): readonly XmlElement[] {
  const found = elements(node, expression, maxListed + 1);
  if (found.length <= maxListed) return found;
  throw new Fault(
    "CDA_INVALID",
    `the document has over ${maxListed} of ${expression.replaceAll("h:", "")} in one place`,
  );
}

/** The expression as a boolean, by the rules of XPath. */
export const holds = (node: XmlNode, expression: string): boolean => node.eval(path(`boolean(${expression})`)) === true;

/** The string value of the first match; null if it is empty. */
export function value(node: XmlNode, expression: string): string | null {
  const found = node.eval(path(`string(${expression})`));
  return typeof found === "string" && found !== "" ? found : null;
}

/** The text of the first match, white space joined. */
export function text(node: XmlNode, expression: string): string | null {
  const found = node.eval(path(`normalize-space(${expression})`));
  return typeof found === "string" && found !== "" ? found : null;
}

/** Where an element is; the element's start tag is looked up in the markup, for libxml2 keeps no column. */
export function placeIn({ markup }: CdaXml, element: XmlElement): CdaPlace {
  const nth = element.eval(path("count(preceding::*) + count(ancestor::*)"));
  return { ...placeOf(markup, Number(nth)), xpath: pathOf(element) };
}

/** ` (line 5, column 3, /ClinicalDocument/recordTarget[2])`. */
export const placeText = ({ line, column, xpath }: CdaPlace): string => ` (line ${line}, column ${column}, ${xpath})`;

const shown = new Set<string>([hl7, namespaces.sdtc, package1]);

/** Names outside the standard's namespaces, or of no usual shape, are shown as `*`: a name could say anything. */
const nameOf = ({ name, namespaceUri }: XmlElement): string =>
  shown.has(namespaceUri) && /^[A-Za-z][A-Za-z0-9]{0,39}$/.test(name) ? name : "*";

function pathOf(element: XmlElement): string {
  const steps: string[] = [];
  for (let each: XmlElement | null = element; each && steps.length < 300; each = each.parent) {
    const before = Number(each.eval(path("count(preceding-sibling::*)")));
    const same = siblings(each);
    const name = nameOf(each);
    steps.unshift(same.total > 1 && name !== "*" ? `${name}[${same.at}]` : name === "*" ? `*[${before + 1}]` : name);
    if (each.name === "ClinicalDocument") break;
  }
  return `/${steps.join("/")}`;
}

function siblings(element: XmlElement): { readonly at: number; readonly total: number } {
  const isSame = (node: unknown): boolean =>
    node instanceof XmlElement && node.name === element.name && node.namespaceUri === element.namespaceUri;
  let [at, total] = [1, 1];
  for (let node = element.prev; node; node = node.prev) if (isSame(node)) [at, total] = [at + 1, total + 1];
  for (let node = element.next; node; node = node.next) if (isSame(node)) total += 1;
  return { at, total };
}
