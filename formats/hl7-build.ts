/** Messages of our own: an MDM around a document's original bytes (HL7 v2.5.1 9.6), values escaped, in the receiver's charset. */
import { encodeText, fieldFor } from "./charset.ts";
import { escapeText, hl7Time } from "./hl7.ts";
import { usualSeparators, type WrittenPatient } from "./hl7-patient.ts";

export type MdmDraft = {
  /** T02 new, T06 addendum, T10 replacement, T11 cancellation (without the document). */
  readonly event: "T02" | "T06" | "T10" | "T11";
  /** MSH-10, at most 20 characters; the same for every attempt. */
  readonly controlId: string;
  readonly now: Date;
  /** IANA name of the house's time zone. */
  readonly timeZone: string;
  readonly sendingApplication: string;
  readonly sendingFacility: string;
  readonly receivingApplication: string;
  readonly receivingFacility: string;
  /** As the document names the patient, or as this house's own admission does. */
  readonly patient: NamedPatient | WrittenPatient;
  /** WHATWG label that the receiver reads; UTF-8 by default. What it does not have is written as "?". */
  readonly charset?: string;
  readonly document: {
    readonly bytes: Uint8Array;
    readonly uniqueId: string;
    readonly typeCode: string;
    readonly typeName: string;
    readonly creationTime: string;
    /** Of the document that is replaced or appended to (TXA-13). */
    readonly parentId?: string;
  };
};

export type NamedPatient = {
  readonly identifiers: readonly { readonly id: string; readonly root: string }[];
  readonly name: string;
  readonly birthDate: string;
  readonly sex: string;
};

const text = (value: string): string => escapeText(value, usualSeparators);

/** PID-3, 5, 7, 8, PV1-2, 19. */
function writtenOf(patient: NamedPatient | WrittenPatient): WrittenPatient {
  if ("visitNumber" in patient) return patient;
  return {
    identifiers: patient.identifiers.map(({ id, root }) => `${text(id)}^^^&${text(root)}&ISO`).join("~"),
    name: text(patient.name),
    birthDate: text(patient.birthDate),
    sex: text(patient.sex),
    patientClass: "U",
    visitNumber: "",
  };
}

/** PV1-3 to PV1-18. */
const visitGap: readonly string[] = Array(16).fill("");

/** MSH EVN PID PV1 TXA, and OBX where there is a document; OBX-5 is ^TEXT^XML^Base64^ of the bytes as they are. */
export function buildMdm(draft: MdmDraft): Uint8Array {
  const { document, charset = "utf-8" } = draft;
  const patient = writtenOf(draft.patient);
  const isCancellation = draft.event === "T11";
  const at = hl7Time(draft.now, draft.timeZone);
  const head = [
    [
      "MSH|^~\\&",
      text(draft.sendingApplication),
      text(draft.sendingFacility),
      text(draft.receivingApplication),
      text(draft.receivingFacility),
      at,
      "",
      `MDM^${draft.event}^${isCancellation ? "MDM_T01" : "MDM_T02"}`,
      draft.controlId,
      "P",
      "2.5.1",
      "",
      "",
      "",
      "",
      "",
      fieldFor(charset) ?? "",
    ],
    ["EVN", draft.event, at],
    ["PID", "1", "", patient.identifiers, "", patient.name, "", patient.birthDate, patient.sex],
    ["PV1", "1", patient.patientClass || "U", ...(patient.visitNumber ? [...visitGap, patient.visitNumber] : [])],
    [
      "TXA",
      "1",
      text(document.typeCode),
      "TEXT",
      "",
      "",
      text(document.creationTime),
      "",
      "",
      "",
      "",
      "",
      text(document.uniqueId),
      text(document.parentId ?? ""),
      "",
      "",
      "",
      isCancellation ? "LA" : "AU",
      "",
      isCancellation ? "CA" : "AV",
    ],
  ]
    .map((segment) => `${segment.join("|")}\r`)
    .join("");
  if (isCancellation) return encodeText(head, charset).bytes;
  const name = document.typeCode ? `${text(document.typeCode)}^${text(document.typeName)}^LN` : "DOC^Document^L";
  const before = `${head}OBX|1|ED|${name}||^TEXT^XML^Base64^`;
  const payload = Buffer.from(
    Buffer.from(document.bytes.buffer, document.bytes.byteOffset, document.bytes.length).toString("base64"),
    "latin1",
  );
  return Buffer.concat([encodeText(before, charset).bytes, payload, Buffer.from("||||||F\r")]);
}
