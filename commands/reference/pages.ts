/** Pages about channels.yaml, its stations and its connectors, and the schema for editors. */
import { z } from "zod";
import { destinations, sources } from "../../connectors/index.ts";
import { channelSchemas } from "../../pipeline/config-channels.ts";
import { schema } from "../../pipeline/config-schema.ts";
import { systemSchemas } from "../../pipeline/config-systems.ts";
import { testSchema } from "../test/schema.ts";
import { generated } from "./generated.ts";
import { keyTable } from "./schema-table.ts";

/** docs/reference/channels.md */
export const channelsPage = (): string =>
  [
    "# channels.yaml",
    "",
    generated,
    "",
    "Every key. `*` stands for a name of your choice, `[]` for each entry of a list. A key is required where it says so.",
    // biome-ignore lint/suspicious/noTemplateCurlyInString: this is how it is written in the file
    "`${NAME}` and `${NAME:default}` are replaced from the environment (in quotes between `{ }` or `[ ]`), and where a number, true or false is wanted, what is a variable alone is read as that; durations are written 250ms, 5s, 1m, 12h, 14d.",
    "An editor that knows YAML schemas completes and checks it: `# yaml-language-server: $schema=./channels.schema.json`.",
    "",
    ...keyTable("The file", schema),
    ...keyTable("An outbound channel", channelSchemas.outbound, "channels.*."),
    ...keyTable("An inbound channel", channelSchemas.inbound, "channels.*."),
  ].join("\n");

/** What each station does, in the order in which a message meets them. */
const stations = {
  source:
    "Makes what a system sends durable, then lets the connector acknowledge it. Nothing positive is answered before.",
  filter:
    "The first channel in `run` that takes a message and its document; what no channel takes is acknowledged and counted.",
  validate: "The hard rules of CDA, the patient of message and document, the structure of an instance.",
  assemble:
    "A document and the study it refers to wait for each other and travel as one record; late images follow as an addendum.",
  seal: "A signed manifest over parts that are ciphertext already; the bulk is not read again.",
  route:
    "The record to the own repository, its entry to the registry until the registry has signed for it; pushes to partners.",
  fetch: "A patient comes: the registry is asked who holds what, and each record is asked of its repository.",
  open: "Signature, certificates, revocation, addressee and every octet are verified while the ciphertext is kept as it came.",
  deliver: "The document to the HIS as a message, the images to the PACS, proof of delivery to the author.",
} as const;

/** docs/reference/stations.md */
export const stationsPage = (): string =>
  [
    "# Stations",
    "",
    generated,
    "",
    "Outbound: source → filter → validate → assemble → seal → route. Inbound: fetch → open → deliver. The order is code and not",
    "configuration: nobody can configure a channel that routes clear text or delivers what was not verified.",
    "",
    ...Object.entries(stations).flatMap(([name, does]) => {
      const { shape } = (name in channelSchemas.outbound.shape ? channelSchemas.outbound : channelSchemas.inbound) as {
        shape: Readonly<Record<string, z.ZodType>>;
      };
      const [, ...table] = keyTable("", z.object({ [name]: shape[name] ?? z.unknown() }));
      return [`## ${name}`, "", does, ...table];
    }),
  ].join("\n");

/** docs/reference/connectors.md */
export const connectorsPage = (): string =>
  [
    "# Connectors",
    "",
    generated,
    "",
    "What a system is connected with: a block of this name under `sites.*.systems.*`.",
    "",
    ...Object.entries(systemSchemas).flatMap(([name, keys]) => {
      const source = sources.find((each) => each.name === name);
      // What has no address to connect to is nowhere delivered to.
      const destination = destinations.find((each) => each.name === name && "connect" in keys.shape);
      return [
        ...keyTable(`${name}: ${(source ?? destination)?.summary ?? ""}`, z.object({ [name]: keys })),
        ...[source, destination].flatMap((each) => (each ? ["```yaml", each.example, "```", ""] : [])),
      ];
    }),
  ].join("\n");

/** docs/reference/testing.md */
export const testingPage = (): string =>
  [
    "# channels.test.yaml",
    "",
    generated,
    "",
    "Tests of `channels.yaml`, run by `semrs test`. Each starts every house of the configuration on free ports, with a throw-away",
    "PKI and fresh data; a registry or partner that the file does not describe is a real one beside them; systems that are delivered",
    "to are listeners that keep what they take, watched folders empty ones; nobody is told of alerts, and what a message refers to (`references`) is not asked of a HIS: `referenced` has it. TLS and MLLP release of systems, address ranges of callers and delivery windows are left",
    "out, everything else is as in",
    "production. The shipped [channels.test.yaml](../../channels.test.yaml) is an example of every kind.",
    "",
    ...keyTable("The file", testSchema),
    "A report that a HIS only refers to ([`references`](../connect-his.md#documents-by-reference)), made of a message that has it:",
    "",
    "```yaml",
    "- name: a report by reference is fetched and travels as it is",
    '  referenced: { "https://his.hospital-a.example/documents/116.xml": samples/116.xml }',
    "  send:",
    "    to: his",
    "    files: [samples/report.hl7]",
    '    set: { OBX-2: RP, OBX-5: "https://his.hospital-a.example/documents/116.xml^HIS^TEXT^XML" }',
    "    expect: { ack: AA }",
    "  expect: { routed: [registry] }",
    "```",
    "",
    "When something differs, the line says what was expected, what came, and which line of `channels.yaml` decided:",
    "",
    "```",
    "✗ a report reaches HIS B (channels.test.yaml:5)",
    "    routed: expected registry, got none; filtered (NO_CHANNEL) at channels.yaml:48 channels.imaging.filter.messages",
    "```",
    "",
    "Codes of `findings` and `held`: [what the journal notes](errors.md#what-the-journal-notes). Values of `entry`: form, typeCode,",
    "title, patientIds and the other fields of the document entry, under their IHE XDS names.",
    "",
  ].join("\n");

/** channels.schema.json, for editors: JSON Schema of what is written, before variables are replaced. */
export function editorSchema(): string {
  const channels = z.record(z.string(), z.union([channelSchemas.outbound, channelSchemas.inbound]));
  const whole = schema.extend({ channels: channels.default({}).describe(schema.shape.channels.description ?? "") });
  const written = z.toJSONSchema(whole, { io: "input", unrepresentable: "any" });
  return `${JSON.stringify({ ...(withVariables(written) as object), title: "channels.yaml" }, undefined, 1)}\n`;
}

/** As config-file.ts replaces them: within a text, or alone where a number or a truth value is wanted. */
const variable = "\\$\\{[A-Z][A-Z0-9_]*(:[^}]*)?\\}";
const alone: ReadonlySet<unknown> = new Set(["number", "integer", "boolean"]);

/** A variable stands for a value of any form, and for no key. */
function withVariables(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(withVariables);
  if (typeof node !== "object" || node === null) return node;
  const { type, description, default: fallback, ...form } = node as Readonly<Record<string, unknown>>;
  const isFormed = type === "string" && ["pattern", "enum", "allOf"].some((key) => key in form);
  if (alone.has(type) || isFormed)
    return {
      ...(fallback === undefined ? {} : { default: fallback }),
      ...(description === undefined ? {} : { description }),
      anyOf: [
        { type, ...form },
        { type: "string", pattern: isFormed ? variable : `^${variable}$` },
      ],
    };
  return Object.fromEntries(
    Object.entries(node).map(([key, value]) => [key, key === "propertyNames" ? value : withVariables(value)]),
  );
}
