/**
 * The JSON view of a document that libxml2 has accepted, for filters and transforms: attributes as `@name`, text as `#text`, all
 * values text. CDA's own names have no prefix, those of its extensions always the same one; what is of another namespace is not
 * in it, whatever it calls itself. It is a convenience; nobody makes a document from it.
 */
import { XMLParser } from "fast-xml-parser";
import { Fault } from "../errors.ts";
import { markupOf, maxDepth } from "./cda-markup.ts";
import { namespaces } from "./cda-namespaces.ts";

export type View = string | readonly View[] | { readonly [name: string]: View };

const parser = new XMLParser({
  ignoreAttributes: false,
  attributeNamePrefix: "@",
  parseTagValue: false,
  parseAttributeValue: false,
  processEntities: false,
  // The parser's own way trims attributes, too, whose space is theirs: a namespace with some is another one (XML 1.0 3.3.3).
  trimValues: false,
  tagValueProcessor: (_name, value) => value.trim(),
  attributeValueProcessor: (_name, value) => value.replace(/\r\n|[\t\r\n]/g, " "),
  ignoreDeclaration: true,
  ignorePiTags: true,
  maxNestedTags: maxDepth,
});

/** What the parser's own rules refuse besides is an element with a name of JavaScript's, such as `constructor`. */
function parsed(text: string): View {
  try {
    return parser.parse(text) as View;
  } catch (cause) {
    throw new Fault(
      "CDA_INVALID",
      "filters and transforms cannot read an element that is called constructor, __proto__ or alike; its sender has to name it otherwise",
      {
        cause,
      },
    );
  }
}

/** The ClinicalDocument, looked through an EEC package. CDA_INVALID where there is no view of it. */
export function viewOf(bytes: Uint8Array): View {
  const { text, encoding } = markupOf(bytes);
  const readable = encoding.startsWith("utf-16") ? text : decoded(Buffer.from(text, "latin1"), encoding);
  const root = named(parsed(readable), outermost);
  const [document] = [
    ...valuesAt(root, ["ClinicalDocument"]),
    ...valuesAt(root, ["cdp:ContentPackage", "cdp:ContentContainer", "cdp:StructuredContent", "ClinicalDocument"]),
  ];
  return document ?? {};
}

/** Namespaces by the prefixes that the document gives them; "" is the default one. */
type Scope = ReadonlyMap<string, string>;
const xml = "http://www.w3.org/XML/1998/namespace";
const outermost: Scope = new Map([["xml", xml]]);
const { h, ...extensions } = namespaces;
/** What names of a namespace begin with in the view. */
const prefixes: ReadonlyMap<string, string> = new Map([
  [h, ""],
  ...Object.entries({ ...extensions, xml }).map(([prefix, namespace]) => [namespace, `${prefix}:`] as const),
]);

/** An element, whose declarations are in the scope, with the names of the view. */
function named(element: View, scope: Scope): View {
  if (!isObject(element)) return element;
  const found = new Map<string, View[]>();
  for (const [written, value] of Object.entries(element)) {
    if (written === "#text") found.set(written, [value]);
    else if (written.startsWith("@")) {
      const name = attributeName(written.slice(1), scope);
      if (name !== undefined) found.set(`@${name}`, [value]);
    } else
      for (const child of listOf(value)) {
        const own = scopeOf(child, scope);
        const name = elementName(written, own);
        if (name === undefined) continue;
        const same = found.get(name) ?? [];
        same.push(named(child, own));
        found.set(name, same);
      }
  }
  const [text] = found.get("#text") ?? [];
  if (found.size === (text === undefined ? 0 : 1)) return text ?? "";
  return Object.fromEntries([...found].map(([name, values]) => [name, values.length > 1 ? values : (values[0] ?? "")]));
}

function elementName(written: string, scope: Scope): string | undefined {
  const colon = written.indexOf(":");
  const prefix = prefixes.get(scope.get(written.slice(0, Math.max(0, colon))) ?? "");
  return prefix === undefined ? undefined : `${prefix}${written.slice(colon + 1)}`;
}

/** Without a prefix an attribute is its element's (Namespaces in XML 6.2). */
function attributeName(written: string, scope: Scope): string | undefined {
  if (written === "xmlns" || written.startsWith("xmlns:")) return undefined;
  return written.includes(":") ? elementName(written, scope) : written;
}

function scopeOf(element: View, outer: Scope): Scope {
  if (!isObject(element)) return outer;
  const declared = Object.entries(element)
    .filter(([written]) => written === "@xmlns" || written.startsWith("@xmlns:"))
    .map(([written, namespace]) => [written.slice("@xmlns:".length), String(namespace)] as const);
  if (declared.some(([, namespace]) => namespace.includes("&")))
    throw new Fault(
      "CDA_INVALID",
      "filters and transforms cannot read a namespace with a reference (&#…;) in it; its sender has to write it out",
    );
  return declared.length === 0 ? outer : new Map([...outer, ...declared]);
}

function decoded(octets: Uint8Array, encoding: string): string {
  try {
    return new TextDecoder(encoding).decode(octets);
  } catch {
    return new TextDecoder("latin1").decode(octets);
  }
}

/** Text at a dotted path such as `recordTarget.patientRole.id.@extension`, of every element that repeats: as many as a document may have. */
export const textsAt = (view: View, path: string): readonly string[] =>
  valuesAt(view, path.split("."))
    .map((value) => (typeof value === "string" ? value : textOf(value)))
    .filter((text) => text !== undefined);

function valuesAt(view: View, names: readonly string[]): readonly View[] {
  let values: readonly View[] = [view];
  for (const name of names) {
    values = values.flatMap((value) =>
      isObject(value) && Object.hasOwn(value, name) ? listOf(value[name] ?? "") : [],
    );
  }
  return values;
}

const isObject = (value: View): value is { readonly [name: string]: View } =>
  typeof value === "object" && !Array.isArray(value);
const listOf = (value: View): readonly View[] => (Array.isArray(value) ? (value as readonly View[]) : [value]);
const textOf = (value: View): string | undefined => {
  const text = isObject(value) ? value["#text"] : undefined;
  return typeof text === "string" ? text : undefined;
};
