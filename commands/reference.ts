/** The reference documentation, made from the schemas and tables that the program itself uses. `node commands/reference.ts` writes it. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { consequenceOf, type ErrorCode, errorCodes } from "../errors.ts";
import { channelSchemas } from "../pipeline/config-channels.ts";
import { schema } from "../pipeline/config-schema.ts";

/** What each code means, and what to do about it. */
const meanings: Readonly<Record<ErrorCode, readonly [cause: string, remedy: string]>> = {
  HL7_MALFORMED: [
    "What came is no HL7 v2 message, or its MLLP frame is broken.",
    "Look at the quarantined bytes; correct the sender's framing or MSH.",
  ],
  HL7_UNSUPPORTED: [
    "The message type, its charset or what it asks for is not carried in this version.",
    "Filter it at the sender, or do by hand what it asks.",
  ],
  HL7_CONFLICT: [
    "Another message with the same MSH-3, 4, 7 and 10 came within 24 hours.",
    "Give every message its own control id.",
  ],
  CDA_INVALID: [
    "The document breaks a hard rule of CDA: not well-formed, a DOCTYPE, no or two patients, no id, code, custodian or time.",
    "Correct the document where it is made; the reason names the rule and the line.",
  ],
  DOCUMENT_MALFORMED: [
    "OBX-5 is not what it says: bad Base64, a contradiction of type, a package without a part.",
    "Correct the message; the reason names the OBX.",
  ],
  DOCUMENT_CONFLICT: [
    "A document with this id and other bytes was accepted or registered before.",
    "A correction needs its own id and a relatedDocument; release or discard what is held.",
  ],
  DOCUMENT_UNKNOWN: [
    "There is no such document, record or row here, or not for the one who asks.",
    "List what there is; ask again.",
  ],
  PATIENT_MISMATCH: [
    "Message, document and study name different patients.",
    "Find out which is right; correct it at the source, then release or discard.",
  ],
  DICOM_INVALID: [
    "The instance's structure is broken, or the association broke the protocol.",
    "Send it again; if it stays, the file or the modality is at fault.",
  ],
  DICOM_MISMATCH: ["SOP Class or Instance UID of the data set differ from what was announced.", "Correct the sender."],
  DICOM_UNSUPPORTED: [
    "No channel, or the receiving PACS, takes this SOP class or transfer syntax.",
    "Add a channel, or let the PACS accept the syntax.",
  ],
  DICOM_CONFLICT: [
    "An instance with this SOP Instance UID and other bytes was kept before.",
    "Decide which is right; discard the other.",
  ],
  TOO_LARGE: ["Over a named limit.", "Raise the limit that the reason names, or send less."],
  ENVELOPE_MALFORMED: [
    "The envelope's MIME or CMS is not well-formed.",
    "Ask the partner which software made it; compare with SPEC.md.",
  ],
  ENVELOPE_UNSUPPORTED: ["No envelope profile that is accepted here.", "Agree on semrs-2 with the partner."],
  ENVELOPE_NOT_OPENED: [
    "A key, signature, certificate, digest or tag does not hold; the log has the exact cause.",
    "Act on the cause: certificates exchanged, revocation lists current, clocks right; if none, treat it as an attack.",
  ],
  ENVELOPE_EXPIRED: [
    "The envelope is expired or from the future.",
    "Check both clocks; it is sealed anew at the next attempt.",
  ],
  ENVELOPE_REPLAYED: [
    "An envelope with this id was opened before.",
    "Nothing, if the network repeated it; else treat it as an attack.",
  ],
  ENVELOPE_CONFLICT: [
    "The same message id came before with other content.",
    "The sender draws a new message id for new content.",
  ],
  CERTIFICATE_INVALID: [
    "A certificate is expired, revoked, of an unknown authority or for another use.",
    "semrs pki show; exchange certificates and revocation lists.",
  ],
  RECIPIENT_UNKNOWN: ["No partner of this name is configured.", "List it under partners with its certificates."],
  NOT_PERMITTED: [
    "The one who asks may not: wrong purpose, another's repository, a caller that is not listed.",
    "Correct the configuration of the side that is wrong.",
  ],
  QUERY_INVALID: [
    "A command or request has a field that is wrong or unknown.",
    "Correct the field that the reason names.",
  ],
  STORE_FULL: [
    "The disk or its reserve is full; nothing more is accepted, what is queued still drains.",
    "Free space; senders repeat by themselves.",
  ],
  STORE_CONFLICT: ["A row with this key exists already.", "Nothing; it is resolved inside."],
  STORE_DAMAGED: [
    "A file, row or key of the data folder is missing or changed, or the disk failed.",
    "Restore the data folder or storage.key from a backup; check the disk.",
  ],
  PEER_REFUSED: [
    "A system or partner said no for good; the delivery is parked.",
    "Correct what it objects to, then release the delivery.",
  ],
  PEER_BUSY: ["A system or partner is busy or full for now.", "Nothing; it is repeated."],
  PEER_UNREACHABLE: [
    "A system or partner does not answer.",
    "Start it, open the firewall, correct the address; it is repeated.",
  ],
  PEER_AMBIGUOUS: [
    "Something was sent and no answer seen.",
    "Nothing; it is sent again under the same id, which the receiver recognises.",
  ],
  CONFIG_INVALID: [
    "The configuration, a key file or a port is wrong.",
    "Correct what the message names, file:line:column.",
  ],
  ALREADY_RUNNING: ["Another process uses this data folder.", "Stop it, or give this site another folder."],
  STOPPING: ["The site is stopping.", "Send again; it is accepted when the site is back."],
  UNEXPECTED: [
    "A defect, or something nobody thought of; the log names the place.",
    "Report it with the version; it is repeated meanwhile.",
  ],
};

const generated = "<!-- Made by `node commands/reference.ts`; a test keeps it current. -->";

/** docs/errors.md */
export function errorReference(): string {
  const rows = errorCodes.map((code) => {
    const { retry, hl7, dicom, http } = consequenceOf(code);
    const [cause, remedy] = meanings[code];
    return `| \`${code}\` | ${cause} | ${remedy} | ${retry ? "yes" : "no"} | ${hl7} | ${dicom.toString(16).padStart(4, "0").toUpperCase()} | ${http} |`;
  });
  return [
    "# Error codes",
    "",
    generated,
    "",
    "Every failure an operator can see has one of these codes: in the log, in the journal, in ERR-8 of an acknowledgement. The",
    "last columns are what each protocol tells its peer: MSA-1, the C-STORE status, the HTTP status. A code is never reused.",
    "",
    "| code | cause | what to do | repeated by itself | HL7 | DICOM | HTTP |",
    "|---|---|---|---|---|---|---|",
    ...rows,
    "",
  ].join("\n");
}

type Node = {
  readonly description?: string;
  readonly shape?: Readonly<Record<string, Node>>;
  readonly def?: {
    readonly type?: string;
    readonly innerType?: Node;
    readonly element?: Node;
    readonly valueType?: Node;
    readonly options?: readonly Node[];
    readonly defaultValue?: unknown;
  };
};

/** docs/configuration.md */
export function configurationReference(): string {
  return [
    "# channels.yaml",
    "",
    generated,
    "",
    "Every key, with its default. `*` stands for a name of your choice, `[]` for each entry of a list. A key without a default",
    // biome-ignore lint/suspicious/noTemplateCurlyInString: this is how it is written in the file
    "is required unless it says optional. `${NAME}` and `${NAME:default}` are replaced from the environment.",
    "",
    ...table("The file", schema as Node, ""),
    ...table("An outbound channel", channelSchemas.outbound as Node, "channels.*."),
    ...table("An inbound channel", channelSchemas.inbound as Node, "channels.*."),
  ].join("\n");
}

const table = (title: string, node: Node, prefix: string): readonly string[] => [
  `## ${title}`,
  "",
  "| key | default | |",
  "|---|---|---|",
  ...rowsOf(node, prefix),
  "",
];

function rowsOf(node: Node, prefix: string): readonly string[] {
  const inner = unwrapped(node);
  const rows = Object.entries(inner.shape ?? {}).flatMap(([key, value]) => {
    const path = `${prefix}${key}`;
    return [`| \`${path}\` | ${defaultOf(value)} | ${value.description ?? ""} |`, ...rowsOf(value, `${path}.`)];
  });
  const { element, valueType, options = [] } = inner.def ?? {};
  const below = [
    ...(element ? rowsOf(element, `${prefix.slice(0, -1)}[].`) : []),
    ...(valueType ? rowsOf(valueType, `${prefix}*.`) : []),
    ...options.flatMap((option) => rowsOf(option, prefix)),
  ];
  return [...rows, ...below];
}

/** Without optional, default and prefault around it. */
function unwrapped(node: Node): Node {
  const inner = node.def?.innerType;
  return inner ? unwrapped(inner) : node;
}

function defaultOf(node: Node): string {
  const { type, defaultValue, innerType } = node.def ?? {};
  if (type === "optional") return "optional";
  if (defaultValue !== undefined) return `\`${JSON.stringify(defaultValue)}\``.replaceAll("|", "\\|");
  return innerType ? defaultOf(innerType) : "";
}

/** The documents by file. */
export const references: Readonly<Record<string, () => string>> = {
  "docs/errors.md": errorReference,
  "docs/configuration.md": configurationReference,
};

if (import.meta.main) {
  for (const [file, make] of Object.entries(references)) writeFileSync(join(import.meta.dirname, "..", file), make());
}
