/**
 * The JSON view of a document that libxml2 has accepted, for filters and transforms: element names without prefixes, attributes
 * as `@name`, text as `#text`, all values text. It is a convenience; nobody makes a document from it.
 */
import { XMLParser } from "fast-xml-parser";
import { Fault } from "../errors.ts";
import { markupOf, maxDepth } from "./cda-markup.ts";

export type View = string | readonly View[] | { readonly [name: string]: View };

const parser = new XMLParser({
  ignoreAttributes: false,
  attributeNamePrefix: "@",
  removeNSPrefix: true,
  parseTagValue: false,
  parseAttributeValue: false,
  processEntities: false,
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
  const root = parsed(readable);
  const [document] = [
    ...valuesAt(root, ["ClinicalDocument"]),
    ...valuesAt(root, ["ContentPackage", "ContentContainer", "StructuredContent", "ClinicalDocument"]),
  ];
  return document ?? {};
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
