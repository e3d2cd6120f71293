/** What travels between houses as JSON: the page that says it, and the JSON Schema of each for whoever writes their own. */
import { z } from "zod";
import { publicSchemas } from "../../envelope/directory.ts";
import { receiptSchema } from "../../envelope/receipt.ts";
import { commandMediaType, commandSchemas, maxCommandBytes, receiptMediaType } from "../../formats/command.ts";
import { documentEntrySchema, entryMapping } from "../../formats/document-entry.ts";
import { commandExamples, type Example, exampleEntry } from "./command-examples.ts";
import { generated } from "./generated.ts";

const mebibyte = 1024 * 1024;

/** docs/reference/commands.md */
export const commandsPage = (): string =>
  [
    "# Commands",
    "",
    generated,
    "",
    `Part 1 of an [envelope](../../envelope/SPEC.md) where that is no document: JSON in UTF-8, \`${commandMediaType}\`, at most ${maxCommandBytes / mebibyte} MiB. An unknown`,
    "field is refused. All fields with their limits, as JSON Schema: [commands.schema.json](commands.schema.json), with receipts and the two documents",
    "that sites publish. Paths are below `/semrs/v1`. `X-EEC-MessageType` is the command's name; of a document its EEC form or LOINC code.",
    "",
    ...Object.entries(commandExamples).flatMap(([name, example]) => section(name, example)),
    "## Proof of delivery",
    "",
    `\`/repository/receipts\` of the record's author, purpose receipt; answered 204. No command: part 1 is a receipt (\`${receiptMediaType}\`) with the verdict`,
    "delivered, signed by who was handed the record. `names` holds the author's manifest; `message` is that manifest's, and `id` and `manifestSha256` may be",
    "of the envelope that brought the record, or say the author's `message` and manifest again, as those that semrs sends do.",
    "",
    "## The entry",
    "",
    "What the registry indexes of a document, under its IHE XDS names. Every field is there, null or empty where there is nothing to say. The registry does not see",
    "the document and takes the house's signed word for all of it.",
    "",
    "| field | semrs takes it from | ITI TF-3 4.2.3.2 |",
    "|---|---|---|",
    ...Object.entries(entryMapping).map(([name, { from, clause }]) => `| \`${name}\` | ${from} | ${clause} |`),
    "",
    "`uniqueId` is `root^extension`, or the root alone where the document's id has no extension. `entryUuid` is any UUID, for good. Times are written as in the document",
    "(HL7 V3 TS). `hash` and `size` are those of part 1; `images` counts what travels with it: `{studies, modalities, series, instances}`.",
    "",
    "```json",
    JSON.stringify(exampleEntry, undefined, 1),
    "```",
    "",
  ].join("\n");

/** The example entry is told once, below. */
const section = (name: string, { where, says, examples }: Example<never>): readonly string[] => [
  `## ${name}`,
  "",
  `${where[0]?.toUpperCase()}${where.slice(1)}. ${says}`,
  "",
  "```json",
  ...examples.map((example) => withoutEntry(JSON.stringify(example))),
  "```",
  "",
];

const withoutEntry = (json: string): string => json.replace(/("entry":)\{.*?"images":null\}/g, "$1{…}");

/** docs/reference/commands.schema.json: what may be written. */
export function commandsSchema(): string {
  const named = z.registry<{ id: string }>();
  named.add(documentEntrySchema, { id: "documentEntry" });
  named.add(receiptSchema, { id: "receipt" });
  for (const [name, schema] of Object.entries(publicSchemas)) named.add(schema, { id: name });
  for (const [name, schema] of Object.entries(commandSchemas)) named.add(schema, { id: name });
  const { schemas } = z.toJSONSchema(named, { io: "input", unrepresentable: "any", uri: (id) => `#/$defs/${id}` });
  const defs = Object.entries(schemas).map(([name, { $schema: _schema, $id: _id, ...schema }]) => [name, schema]);
  const whole = { $schema: "https://json-schema.org/draft/2020-12/schema", title: "SEMRS commands" };
  const anyOf = Object.keys(commandSchemas).map((name) => ({ $ref: `#/$defs/${name}` }));
  return `${JSON.stringify({ ...whole, anyOf, $defs: Object.fromEntries(defs) }, undefined, 1)}\n`;
}
