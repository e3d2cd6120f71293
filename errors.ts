/**
 * Every failure an operator can see, in one table: whether it is worth
 * retrying, and what each protocol tells its peer.
 *
 * `hl7` is MSA-1 (HL7 Table 0008), `dicom` is a C-STORE status (PS3.4 Annex B.2.3),
 * `http` is a status code. A code, once released, is never reused.
 */
const table = {
  HL7_MALFORMED: { retry: false, hl7: "AE", dicom: 0xc000, http: 400 },
  HL7_UNSUPPORTED: { retry: false, hl7: "AR", dicom: 0xc000, http: 415 },
  HL7_CONFLICT: { retry: false, hl7: "AE", dicom: 0xc000, http: 409 },
  CDA_INVALID: { retry: false, hl7: "AE", dicom: 0xc000, http: 422 },
  CDA_RULE: { retry: false, hl7: "AE", dicom: 0xc000, http: 422 },
  CDA_SCHEMA: { retry: false, hl7: "AE", dicom: 0xc000, http: 422 },
  DOCUMENT_MALFORMED: { retry: false, hl7: "AE", dicom: 0xc000, http: 422 },
  DOCUMENT_CONFLICT: { retry: false, hl7: "AE", dicom: 0xc000, http: 409 },
  DOCUMENT_UNKNOWN: { retry: false, hl7: "AE", dicom: 0xc000, http: 404 },
  DOCUMENT_REMOVED: { retry: false, hl7: "AE", dicom: 0xc000, http: 410 },
  METADATA_INVALID: { retry: false, hl7: "AE", dicom: 0xc000, http: 422 },
  TRANSFORM_FAILED: { retry: false, hl7: "AE", dicom: 0xc000, http: 422 },
  PATIENT_MISMATCH: { retry: false, hl7: "AE", dicom: 0xc000, http: 422 },
  PATIENT_UNKNOWN: { retry: false, hl7: "AE", dicom: 0xc000, http: 404 },
  DICOM_INVALID: { retry: false, hl7: "AE", dicom: 0xc000, http: 422 },
  DICOM_MISMATCH: { retry: false, hl7: "AE", dicom: 0xa900, http: 422 },
  DICOM_UNSUPPORTED: { retry: false, hl7: "AE", dicom: 0x0122, http: 415 },
  DICOM_CONFLICT: { retry: false, hl7: "AE", dicom: 0x0111, http: 409 },
  TOO_LARGE: { retry: false, hl7: "AR", dicom: 0xa700, http: 413 },
  ENVELOPE_MALFORMED: { retry: false, hl7: "AE", dicom: 0xc000, http: 400 },
  ENVELOPE_UNSUPPORTED: { retry: false, hl7: "AE", dicom: 0xc000, http: 415 },
  ENVELOPE_NOT_OPENED: { retry: false, hl7: "AE", dicom: 0xc000, http: 422 },
  ENVELOPE_EXPIRED: { retry: true, hl7: "AE", dicom: 0xc000, http: 422 },
  ENVELOPE_REPLAYED: { retry: false, hl7: "AE", dicom: 0xc000, http: 409 },
  ENVELOPE_CONFLICT: { retry: false, hl7: "AE", dicom: 0xc000, http: 409 },
  CERTIFICATE_INVALID: { retry: false, hl7: "AE", dicom: 0xc000, http: 422 },
  RECIPIENT_UNKNOWN: { retry: false, hl7: "AE", dicom: 0xc000, http: 404 },
  NOT_PERMITTED: { retry: false, hl7: "AR", dicom: 0x0124, http: 403 },
  QUERY_INVALID: { retry: false, hl7: "AE", dicom: 0xc000, http: 400 },
  CURSOR_INVALID: { retry: false, hl7: "AE", dicom: 0xc000, http: 400 },
  STORE_FULL: { retry: true, hl7: "AR", dicom: 0xa700, http: 507 },
  STORE_CONFLICT: { retry: false, hl7: "AE", dicom: 0x0110, http: 409 },
  STORE_DAMAGED: { retry: false, hl7: "AR", dicom: 0x0110, http: 500 },
  REVOCATION_STALE: { retry: true, hl7: "AR", dicom: 0xa700, http: 503 },
  CLOCK_BEHIND: { retry: true, hl7: "AR", dicom: 0xa700, http: 503 },
  PEER_REFUSED: { retry: false, hl7: "AE", dicom: 0xc000, http: 502 },
  PEER_UNOPENABLE: { retry: false, hl7: "AE", dicom: 0xc000, http: 502 },
  AE_TITLE_UNKNOWN: { retry: true, hl7: "AR", dicom: 0xa700, http: 502 },
  PEER_BUSY: { retry: true, hl7: "AR", dicom: 0xa700, http: 503 },
  PEER_UNREACHABLE: { retry: true, hl7: "AR", dicom: 0xa700, http: 502 },
  PEER_AMBIGUOUS: { retry: true, hl7: "AR", dicom: 0xa700, http: 502 },
  CONFIG_INVALID: { retry: false, hl7: "AE", dicom: 0xc000, http: 500 },
  ALREADY_RUNNING: { retry: false, hl7: "AR", dicom: 0xa700, http: 503 },
  STOPPING: { retry: true, hl7: "AR", dicom: 0xa700, http: 503 },
  UNEXPECTED: { retry: true, hl7: "AR", dicom: 0x0110, http: 500 },
} as const;

export type ErrorCode = keyof typeof table;
export type Consequence = (typeof table)[ErrorCode];

/** The one error type of the project. Branch on `code`, never on `message`; the message carries no patient data. */
export class Fault extends Error {
  override readonly name = "Fault";
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** What was read, or the fault that says why it could not be; anything else is thrown on. */
export function orFault<T>(read: () => T): T | Fault {
  try {
    return read();
  } catch (thrown) {
    if (thrown instanceof Fault) return thrown;
    throw thrown;
  }
}

export const codeOf = (thrown: unknown): ErrorCode => (thrown instanceof Fault ? thrown.code : "UNEXPECTED");

/** What to do about, and what to tell the peer about, anything that was thrown. */
export const consequence = (thrown: unknown): Consequence => table[codeOf(thrown)];

/** What a code means to every protocol. */
export const consequenceOf = (code: ErrorCode): Consequence => table[code];

/** A fault's message is written for people; anything else that was thrown may quote data, so only its kind and place are told. */
export function reasonOf(thrown: unknown): string {
  if (thrown instanceof Fault) return thrown.message;
  if (!(thrown instanceof Error)) return `unexpected ${typeof thrown}`;
  const place = /([A-Za-z0-9_-]+\.ts:\d+):\d+/.exec(thrown.stack ?? "")?.[1] ?? "an unknown place";
  return `unexpected ${thrown.name} at ${place}; report it with the version`;
}

/** What the system threw of a disk without room, or of a quota that is used up. */
export const hasNoRoom = (thrown: unknown): boolean =>
  ["ENOSPC", "EDQUOT"].includes((thrown as { readonly code?: string }).code ?? "");

/** What keeps a port from being listened on, and what to do about it. */
const unlistened: ReadonlyMap<string, string> = new Map([
  ["EADDRINUSE", "another process listens there; end it, or take another port"],
  ["EADDRNOTAVAIL", "this machine has no such address; correct it"],
  ["EACCES", "this user may not; take a port from 1024 on, or give the service CAP_NET_BIND_SERVICE"],
  ["ENOTFOUND", "there is no such name; write an address"],
]);

/** Why a listener did not come up. */
export function whyUnlistened(cause: unknown): string {
  const { code = "" } = cause as { readonly code?: string };
  return unlistened.get(code) ?? code;
}

/** CONFIG_INVALID: a listener that did not come up, with why. */
export const cannotListen = (where: string, cause: unknown): Fault =>
  new Fault("CONFIG_INVALID", `${where} cannot be listened on: ${whyUnlistened(cause)}`, { cause });

/** All codes, for the reference documentation and the tests that raise each. */
export const errorCodes = Object.keys(table) as readonly ErrorCode[];
