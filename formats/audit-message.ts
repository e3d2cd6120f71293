/** The audit message of DICOM PS3.15 A.5.1, as ATNA's repositories take it. */

export type Code = { readonly code: string; readonly system: string; readonly text: string };
export type AuditMessage = {
  /** ISO 8601. */
  readonly at: string;
  readonly action: "C" | "R" | "U" | "D" | "E";
  /** EventOutcomeIndicator. */
  readonly outcome: 0 | 4 | 8 | 12;
  /** EventOutcomeDescription. */
  readonly says: string | null;
  readonly id: Code;
  readonly type: Code;
  /** The site whose log it is of. */
  readonly site: string;
  readonly participants: readonly {
    readonly name: string;
    readonly isRequestor: boolean;
    readonly role: Code;
    readonly address: string | null;
  }[];
  readonly patients: readonly string[];
  /** What it happened to, and where it stands in the log. */
  readonly object: { readonly id: string; readonly details: Readonly<Record<string, string>> };
};

/** XML 1.0 without a declaration: the transport says that it is UTF-8. */
export function writeAuditMessage(message: AuditMessage): string {
  const { at, action, outcome, says, id, type, site, participants, patients, object } = message;
  return element("AuditMessage", {}, [
    element(
      "EventIdentification",
      { EventActionCode: action, EventDateTime: at, EventOutcomeIndicator: String(outcome) },
      [
        coded("EventID", id),
        coded("EventTypeCode", type),
        ...(says ? [element("EventOutcomeDescription", {}, [escaped(says)])] : []),
      ],
    ),
    ...participants.map(({ name, isRequestor, role, address }) =>
      element(
        "ActiveParticipant",
        {
          UserID: name,
          UserIsRequestor: String(isRequestor),
          // 2: an address, which may have a port behind it (PS3.15 A.5.1, NetworkAccessPointTypeCode).
          ...(address ? { NetworkAccessPointID: address, NetworkAccessPointTypeCode: "2" } : {}),
        },
        [coded("RoleIDCode", role)],
      ),
    ),
    element("AuditSourceIdentification", { AuditSourceID: site }, []),
    // A person, in the role of the patient (table A.5.1-1: object type 1, role 1; id type 2 of RFC 3881).
    ...patients.map((patient) =>
      participant(patient, "1", "1", { code: "2", system: "RFC-3881", text: "Patient Number" }, {}),
    ),
    // A system object, in the role of a report.
    participant(object.id, "2", "3", { code: "id", system: "semrs", text: "semrs id" }, object.details),
  ]);
}

const participant = (
  id: string,
  type: string,
  role: string,
  idType: Code,
  details: Readonly<Record<string, string>>,
): string =>
  element(
    "ParticipantObjectIdentification",
    { ParticipantObjectID: id, ParticipantObjectTypeCode: type, ParticipantObjectTypeCodeRole: role },
    [
      coded("ParticipantObjectIDTypeCode", idType),
      ...Object.entries(details).map(([name, value]) =>
        element("ParticipantObjectDetail", { type: name, value: Buffer.from(value).toString("base64") }, []),
      ),
    ],
  );

const coded = (name: string, { code, system, text }: Code): string =>
  element(name, { "csd-code": code, codeSystemName: system, originalText: text }, []);

function element(name: string, attributes: Readonly<Record<string, string>>, content: readonly string[]): string {
  const written = Object.entries(attributes).map(([key, value]) => ` ${key}="${escaped(value)}"`);
  const open = `<${name}${written.join("")}`;
  return content.length === 0 ? `${open}/>` : `${open}>${content.join("")}</${name}>`;
}

const entities: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
/** What XML has no character for becomes a question mark. */
const escaped = (value: string): string =>
  value
    .toWellFormed()
    .replace(/[&<>"]/g, (character) => entities[character] ?? "")
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what XML 1.0 2.2 leaves out.
    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, "?");
