/** Messages of our own: an MDM around a document's original bytes (HL7 v2.5.1 9.6), values escaped, in the receiver's charset. */
import { encodeText, fieldFor } from "./charset.ts";
import { escapeText, hl7Time } from "./hl7-message.ts";
import { usualSeparators, type WrittenPatient } from "./hl7-patient.ts";

export type MdmDraft = {
  /** T02 new, T06 addendum, T10 replacement, T11 cancellation (without the document). */
  readonly event: "T02" | "T06" | "T10" | "T11";
  /** As MDM with that event (the default), or as ORU^R01 whose OBX-11 says the same. */
  readonly form?: "MDM" | "ORU";
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
    /** An OBX each behind the document's. */
    readonly attachments?: readonly { readonly bytes: Uint8Array; readonly type: string }[];
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
  const isResult = draft.form === "ORU";
  const name = document.typeCode ? `${text(document.typeCode)}^${text(document.typeName)}^LN` : "DOC^Document^L";
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
      isResult ? "ORU^R01^ORU_R01" : `MDM^${draft.event}^${isCancellation ? "MDM_T01" : "MDM_T02"}`,
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
    ...(isResult ? [] : [["EVN", draft.event, at]]),
    ["PID", "1", "", patient.identifiers, "", patient.name, "", patient.birthDate, patient.sex],
    ["PV1", "1", patient.patientClass || "U", ...(patient.visitNumber ? [...visitGap, patient.visitNumber] : [])],
    isResult ? orderOf(draft, name) : notificationOf(draft),
  ]
    .map((segment) => `${segment.join("|")}\r`)
    .join("");
  if (isCancellation) {
    // A result that is withdrawn has its OBX, with a value that is deleted (HL7 v2.5.1 2.5.3).
    const withdrawn = isResult ? `OBX|1|ED|${name}||""||||||${statusOf.T11}\r` : "";
    return encodeText(`${head}${withdrawn}`, charset).bytes;
  }
  const before = `${head}OBX|1|ED|${name}||^TEXT^XML^Base64^`;
  const end = Buffer.from(`||||||${isResult ? statusOf[draft.event] : "F"}\r`);
  const beside = (document.attachments ?? []).flatMap(({ bytes, type }, index) => {
    const [main = "application", sub = "octet-stream"] = type.split("/");
    const obx = `OBX|${index + 2}|ED|${name}||^${text(main)}^${text(sub)}^Base64^`;
    return [encodeText(obx, charset).bytes, base64(bytes), end];
  });
  return Buffer.concat([encodeText(before, charset).bytes, base64(document.bytes), end, ...beside]);
}

/** OBX-11 and OBR-25 (HL7 Tables 0085 and 0123): final, corrected, cannot be obtained. */
const statusOf: Readonly<Record<MdmDraft["event"], string>> = { T02: "F", T06: "F", T10: "C", T11: "X" };

/** TXA: what the document is and is called. */
function notificationOf({ event, document }: MdmDraft): readonly string[] {
  const isCancellation = event === "T11";
  const { typeCode, creationTime, uniqueId, parentId = "" } = document;
  const fields: Readonly<Record<number, string>> = {
    1: "1",
    2: text(typeCode),
    3: "TEXT",
    6: text(creationTime),
    12: text(uniqueId),
    13: text(parentId),
    17: isCancellation ? "LA" : "AU",
    19: isCancellation ? "CA" : "AV",
  };
  return ["TXA", ...Array.from({ length: 19 }, (_, index) => fields[index + 1] ?? "")];
}

/** OBR: the document's id as filler order number, and whose result it is. */
function orderOf({ event, document }: MdmDraft, name: string): readonly string[] {
  const fields: Readonly<Record<number, string>> = {
    1: "1",
    3: text(document.uniqueId),
    4: name,
    7: text(document.creationTime),
    25: statusOf[event],
  };
  return ["OBR", ...Array.from({ length: 25 }, (_, index) => fields[index + 1] ?? "")];
}

const base64 = (bytes: Uint8Array): Buffer =>
  Buffer.from(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("base64"), "latin1");
