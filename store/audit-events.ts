/**
 * What the audit log speaks of, in the vocabulary of ATNA: event ids of DICOM PS3.16 CID 400, actions and roles of PS3.15 A.5,
 * transactions of IHE as types, and our own where neither has one.
 */

/** PS3.15 A.5.1: create, read, update, delete, execute. */
type Action = "C" | "R" | "U" | "D" | "E";
type Code = { readonly code: string; readonly system: "DCM" | "IHE Transactions" | "semrs"; readonly text: string };
export type AuditVocabulary = {
  readonly id: Code;
  readonly action: Action;
  readonly type: Code;
  /** What this site is in it; the peer is the other (PS3.16 CID 402). */
  readonly role: "source" | "destination" | "application";
};

const dcm = (code: string, text: string): Code => ({ code, system: "DCM", text });
const ihe = (code: string, text: string): Code => ({ code, system: "IHE Transactions", text });
const own = (code: string, text: string): Code => ({ code, system: "semrs", text });

const [activity, logUsed] = [dcm("110100", "Application Activity"), dcm("110101", "Audit Log Used")];
const [exporting, importing] = [dcm("110106", "Export"), dcm("110107", "Import")];
const [transferred, record, query] = [
  dcm("110104", "DICOM Instances Transferred"),
  dcm("110110", "Patient Record"),
  dcm("110112", "Query"),
];

export const auditEvents = {
  start: { id: activity, action: "E", type: dcm("110120", "Application Start"), role: "application" },
  stop: { id: activity, action: "E", type: dcm("110121", "Application Stop"), role: "application" },
  message: { id: importing, action: "C", type: own("message", "Message taken in"), role: "destination" },
  instance: { id: transferred, action: "C", type: own("instance", "Instance taken in"), role: "destination" },
  seal: { id: exporting, action: "R", type: own("seal", "Record sealed"), role: "source" },
  register: { id: exporting, action: "R", type: ihe("ITI-42", "Register Document Set-b"), role: "source" },
  registration: { id: importing, action: "C", type: ihe("ITI-42", "Register Document Set-b"), role: "destination" },
  push: { id: exporting, action: "R", type: ihe("ITI-41", "Provide and Register Document Set-b"), role: "source" },
  submission: {
    id: importing,
    action: "C",
    type: ihe("ITI-41", "Provide and Register Document Set-b"),
    role: "destination",
  },
  query: { id: query, action: "E", type: ihe("ITI-18", "Registry Stored Query"), role: "source" },
  answer: { id: query, action: "E", type: ihe("ITI-18", "Registry Stored Query"), role: "destination" },
  emergency: {
    id: dcm("110113", "Security Alert"),
    action: "E",
    type: dcm("110127", "Emergency Override Started"),
    role: "destination",
  },
  loss: {
    id: dcm("110113", "Security Alert"),
    action: "E",
    type: own("loss", "Registry lost what it had signed"),
    role: "source",
  },
  urgency: {
    id: query,
    action: "E",
    type: own("urgency", "Asked for in an emergency by a person"),
    role: "application",
  },
  consent: { id: record, action: "U", type: own("consent", "Consent told by a person"), role: "application" },
  review: { id: record, action: "U", type: own("review", "Emergency access reviewed"), role: "application" },
  status: { id: query, action: "E", type: own("status", "Message asked for"), role: "destination" },
  disclosure: { id: exporting, action: "R", type: ihe("ITI-43", "Retrieve Document Set"), role: "source" },
  retrieve: { id: importing, action: "C", type: ihe("ITI-43", "Retrieve Document Set"), role: "destination" },
  open: { id: importing, action: "C", type: own("open", "Record opened"), role: "destination" },
  change: { id: exporting, action: "U", type: ihe("ITI-57", "Update Document Set"), role: "source" },
  amendment: { id: importing, action: "U", type: ihe("ITI-57", "Update Document Set"), role: "destination" },
  notice: { id: exporting, action: "U", type: own("notice", "Correction told"), role: "source" },
  correction: { id: importing, action: "U", type: own("correction", "Correction received"), role: "destination" },
  proof: { id: importing, action: "C", type: own("proof", "Proof of delivery received"), role: "destination" },
  receipt: { id: exporting, action: "R", type: own("receipt", "Proof of delivery sent"), role: "source" },
  delivery: { id: exporting, action: "R", type: own("delivery", "Delivered within the house"), role: "source" },
  release: { id: record, action: "U", type: own("release", "Released by a person"), role: "application" },
  discard: { id: record, action: "D", type: own("discard", "Discarded by a person"), role: "application" },
  resend: { id: record, action: "E", type: own("resend", "Sent again by a person"), role: "application" },
  read: { id: record, action: "R", type: own("read", "Payload read by a person"), role: "application" },
  erasure: { id: record, action: "D", type: own("erasure", "Patient erased by a person"), role: "application" },
  clock: { id: activity, action: "E", type: own("clock", "Clock said to be right by a person"), role: "application" },
  prune: { id: logUsed, action: "D", type: own("prune", "Audit log pruned"), role: "application" },
  audit: { id: logUsed, action: "R", type: own("audit", "Audit log read"), role: "application" },
} as const satisfies Readonly<Record<string, AuditVocabulary>>;

export type AuditEvent = keyof typeof auditEvents;

/** EventOutcomeIndicator (PS3.15 A.5.1): `failed` may be tried again, `refused` is not. */
export const auditOutcomes = { done: 0, failed: 4, refused: 8 } as const;
export type AuditOutcome = keyof typeof auditOutcomes;
