/** Everything that can be said of a configuration, in one table: how bad it is, what it means, what to do. */

/** `error` keeps a site from starting; `warn` does not, and is told at start and by `semrs check`. */
export type Severity = "error" | "warn";

const table = {
  CONFIG_UNREADABLE: [
    "error",
    "The file is not there, cannot be read, or is too large.",
    "Correct the path or the rights.",
  ],
  CONFIG_SYNTAX: ["error", "The file is not YAML.", "Look at the place; often an indent or a quote."],
  CONFIG_VARIABLE: [
    "error",
    "A variable that the file names is not set, or is not written as one.",
    "Set it in the environment, or write a default: NAME:default; names are in capital letters.",
  ],
  CONFIG_UNKNOWN_KEY: [
    "error",
    "There is no such key here.",
    "Take the one that is suggested, or look it up in the reference.",
  ],
  CONFIG_MISSING_KEY: ["error", "A key that is required is not there.", "Add it; the reference says what it takes."],
  CONFIG_VALUE: ["error", "A value is not one that this key takes.", "The message says what it takes."],
  CONFIG_NAME: [
    "error",
    "A site, system, channel or partner is named that is not in the file, or twice in one list; or a system has a name that SEMRS keeps for itself.",
    "Correct the name, or add what it names.",
  ],
  CONFIG_PORT_TWICE: [
    "error",
    "Two listeners of one site have the same port of one address.",
    "Give one of them another.",
  ],
  CONFIG_CLEAR_TEXT: [
    "error",
    "A listener or peer off this machine has no TLS and no reason why not.",
    "Add tls: {}, or clearText with the reason.",
  ],
  CONFIG_CALLERS: [
    "error",
    "A DICOM listener off this machine takes associations from anybody, or knows a caller by a certificate that it need not show.",
    "List callers; subject needs tls with clientCertificate: require.",
  ],
  CONFIG_ADMIN: ["error", "The admin port is reachable from other machines.", "Listen on 127.0.0.1 and use a tunnel."],
  CONFIG_IDENTITY: ["error", "The original patient identity is delivered without a reason.", "Add because."],
  CONFIG_SHADOW: [
    "error",
    "none stands beside another route, or without a reason.",
    "Write route: [none] alone, and because.",
  ],
  CONFIG_LEGACY: [
    "error",
    "semrs-2017 stands beside another profile or without allowLegacy, or is the registry's.",
    "Write profiles: [semrs-2017] and allowLegacy: true for a partner that can nothing else.",
  ],
  CONFIG_AUTHORITY_TWICE: ["error", "One authority or root belongs to two identifiers.", "Keep it in one."],
  CONFIG_DESTINATION: [
    "error",
    "A channel delivers to a system, or routes to a repository, that has no address.",
    "Add connect (and calledAeTitle) to it.",
  ],
  CONFIG_RULES: [
    "error",
    "A rule file has a key, an XPath or a value that is wrong.",
    "Correct it at the place; docs/validation.md says how a rule is written.",
  ],
  CONFIG_SCHEMA: [
    "error",
    "The folder of the XML Schema is missing, or the schema cannot be compiled.",
    "Set validate.document.schemas to the folder that holds CDA.xsd and what it includes.",
  ],
  CONFIG_SCHEMATRON: [
    "error",
    "The folder of compiled Schematron is missing or empty, or saxon-js, which runs it, is not installed.",
    "Set validate.document.schematron to the folder; npm install saxon-js, whose licence is Saxonica's own.",
  ],
  CONFIG_TRANSFORM: [
    "error",
    "A module or lookup file of a transform is missing or wrong.",
    "Correct the path, relative to channels.yaml, or the file.",
  ],
  FILTER_DROPS_CANCEL: [
    "warn",
    "A system sends cancellations that no channel takes: a withdrawn report would stay elsewhere.",
    "Add the event to filter.messages.",
  ],
  FILTER_DROPS_MESSAGE: [
    "warn",
    "A system sends a message that no channel takes; it is acknowledged and counted as filtered.",
    "Add it to filter.messages or to an admission, or drop it from sends.",
  ],
  FILTER_DROPS_DOCUMENT: [
    "warn",
    "Documents of some forms are taken by no channel; they are acknowledged and not sealed.",
    "Add the forms to filter.documents, or other.",
  ],
  PATIENT_MISMATCH_PASSES: [
    "warn",
    "A document or study of another patient would be sealed and travel.",
    "Grade it reject or hold.",
  ],
  SCHEMA_SKIPPED: [
    "warn",
    "The channel names the XML Schema, and grades it skip, as it does where nothing is said: no document is compared with it.",
    "Add schema: warn, hold or reject; or leave schemas out.",
  ],
  AUTHORITY_UNMAPPED: [
    "warn",
    "A patient id of this authority leads to no OID: an admission with it asks nobody, or nothing is filed under it.",
    "Add the authority under identifiers, or correct it.",
  ],
  CHANNEL_NOT_RUN: ["warn", "No site runs this channel.", "Add it to run, or remove it."],
  SYSTEM_UNUSED: [
    "warn",
    "No channel of its site uses this system.",
    "Name it in a source, an admission or deliver, or remove it.",
  ],
  STUDY_WITHOUT_SOURCE: [
    "warn",
    "The channel waits for studies, and no source of it sends any.",
    "Add the PACS to source, or remove assemble.",
  ],
  FETCH_WITHOUT_RULE: ["warn", "Nothing is fetched: rules is empty.", "Add a rule."],
  SHADOW_CHANNEL: [
    "warn",
    "The channel accepts, validates and seals, and sends nothing.",
    "Nothing, while the house runs beside its live feed; then route: [repository].",
  ],
  LEGACY_PARTNER: [
    "warn",
    "A partner is sent and may send semrs-2017: its headers and images are signed by nobody.",
    "Ask it when it will speak semrs-2; its first such envelope ends this for good.",
  ],
  WINDOW_OUTLIVES_RETRY: [
    "warn",
    "A delivery window may be shut for longer than delivery.retry.for: what fails as it opens is parked at once.",
    "Raise delivery.retry.for to several days.",
  ],
  LEGACY_INDIRECT: [
    "error",
    "A partner with semrs-2017 shares its TLS certificate with another: what stands between could be either.",
    "Have it connect directly, with a TLS certificate of its own.",
  ],
  KEY_MISSING: [
    "error",
    "A key or certificate file is missing or unreadable.",
    "semrs pki csr makes keys and requests; semrs pki import takes those of your authority.",
  ],
  KEY_MODE: ["error", "A private key can be read by others.", "chmod 600."],
  KEY_PAIR: [
    "error",
    "Key and certificate do not belong together, or the key cannot be read.",
    "Put the certificate that was issued for this key beside it; a key is PEM without a passphrase.",
  ],
  KEY_SHARED: [
    "error",
    "One key serves two purposes, or signs for two houses.",
    "Make a key for each of sign, decrypt, tls, legacy-sign and legacy-decrypt; a partner must make its own anew.",
  ],
  STORAGE_KEY: [
    "error",
    "storage.key is not 32 octets in hexadecimal.",
    "Restore it from its backup; without it the data folder cannot be read.",
  ],
  CERTIFICATE_EXPIRED: ["error", "A certificate is expired or not yet valid.", "Have it issued anew; check the clock."],
  CERTIFICATE_EXPIRES: ["warn", "A certificate ends soon.", "Have it issued anew, and send it to your partners."],
  CERTIFICATE_UNTRUSTED: [
    "error",
    "A certificate does not lead to a trusted authority, is revoked, or is for another use.",
    "Add the authority under trust.anchors; ask its owner.",
  ],
  PARTNER_CERTIFICATE: [
    "error",
    "A partner's certificate is missing, or it answers with another one.",
    "Ask the partner for it: semrs pki export there, semrs pki trust here.",
  ],
  CRL_MISSING: ["error", "A revocation list is missing or unreadable.", "Fetch it from the authority."],
  CRL_STALE: [
    "warn",
    "A revocation list should have been renewed.",
    "Fetch it anew (an authority of semrs signs it by semrs pki crl); after crlStale nothing is opened any more.",
  ],
  DATA_UNWRITABLE: ["error", "The data folder cannot be made or written.", "Correct the path or its owner."],
  DATA_MODE: ["warn", "The data folder can be listed by others.", "chmod 700."],
  PORT_TAKEN: [
    "warn",
    "Another process listens on this port; the site itself, if it runs.",
    "Stop the other, or give this another port.",
  ],
  STOPPED: [
    "warn",
    "A person has paused a channel or system of the running site, or is draining it.",
    "semrs resume NAME, once the reason is gone.",
  ],
  PEER_UNREACHABLE: ["error", "A peer does not answer.", "Start it, open the firewall, correct the address."],
  PEER_REJECTS: [
    "error",
    "A PACS answers, and rejects our association.",
    "Its administrator enters our AE title, host and port, or allows them; or correct calledAeTitle.",
  ],
} as const satisfies Record<string, readonly [Severity, string, string]>;

export type FindingCode = keyof typeof table;
export const findingCodes = Object.keys(table) as readonly FindingCode[];
export const severityOf = (code: FindingCode): Severity => table[code][0];
export const meaningOf = (code: FindingCode): { readonly cause: string; readonly remedy: string } => ({
  cause: table[code][1],
  remedy: table[code][2],
});

/** One thing that was found: where, and what is said of it. Line and column count from 1; 0 where the file has no lines. */
export type Finding = {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly severity: Severity;
  readonly code: FindingCode;
  readonly message: string;
};

/** `file:line:column severity CODE message`, as editors and terminals link it. */
export const findingText = ({ file, line, column, severity, code, message }: Finding): string =>
  `${file}${line > 0 ? `:${line}:${column}` : ""} ${severity} ${code} ${message}`;
