/** Who an admission says the patient is: the fields of PID and PV1 that a message of our own repeats as they were written. */
import {
  escapeText,
  fieldsOf,
  type MessageFacts,
  numbersIn,
  type Separators,
  segments,
  unescapeText,
} from "./hl7-message.ts";

/** Fields with the usual separators, ready to stand in a message. */
export type WrittenPatient = {
  /** PID-3, all repetitions. */
  readonly identifiers: string;
  /** PID-5. */
  readonly name: string;
  /** PID-7. */
  readonly birthDate: string;
  /** PID-8. */
  readonly sex: string;
  /** PV1-2. */
  readonly patientClass: string;
  /** PV1-19. */
  readonly visitNumber: string;
};

/** One number of a patient: CX-1, who assigned it (CX-4.1, else CX-4.2), and its type (CX-5, HL7 Table 0203). */
export type PatientNumber = { readonly id: string; readonly issuer: string | null; readonly typeCode: string | null };

export type AdmittedPatient = {
  readonly written: WrittenPatient;
  readonly numbers: readonly PatientNumber[];
  /** The order this house files the records under; null where it has none. */
  readonly accessionNumber: string | null;
};

/** The separators of messages that are built here. */
export const usualSeparators: Separators = {
  field: "|",
  component: "^",
  repetition: "~",
  escape: "\\",
  subcomponent: "&",
};

/** The patient of an admission; fields that are absent are empty. */
export function admittedPatient(message: Uint8Array, facts: MessageFacts): AdmittedPatient {
  const fields: Record<string, readonly string[]> = {};
  for (const segment of segments(message)) {
    if (segment.name === "PID" || segment.name === "PV1") fields[segment.name] ??= fieldsOf(segment, facts);
    if (fields.PID && fields.PV1) break;
  }
  const at = (segment: string, n: number): string => fields[segment]?.[n] ?? "";
  return {
    written: {
      identifiers: usual(at("PID", 3), facts),
      name: usual(at("PID", 5), facts),
      birthDate: usual(at("PID", 7), facts),
      sex: usual(at("PID", 8), facts),
      patientClass: usual(at("PV1", 2), facts),
      visitNumber: usual(at("PV1", 19), facts),
    },
    numbers: numbersOf(at("PID", 3), facts),
    accessionNumber: null,
  };
}

/** A patient as another program tells of them, in plain values. */
export type ToldPatient = {
  readonly numbers: readonly PatientNumber[];
  readonly familyName: string;
  readonly givenName: string;
  readonly birthDate: string;
  readonly sex: string;
  readonly patientClass: string;
  readonly visitNumber: string;
  readonly accessionNumber: string | null;
};

/** The same as fields. */
export function writtenPatient(told: ToldPatient): AdmittedPatient {
  const text = (value: string | null): string => escapeText(value ?? "", usualSeparators);
  const identifiers = told.numbers.map(
    ({ id, issuer, typeCode }) => `${text(id)}^^^${text(issuer)}${typeCode ? `^${text(typeCode)}` : ""}`,
  );
  return {
    written: {
      identifiers: identifiers.join("~"),
      name: [text(told.familyName), text(told.givenName)].join("^").replace(/\^$/, ""),
      birthDate: text(told.birthDate),
      sex: text(told.sex),
      patientClass: text(told.patientClass),
      visitNumber: text(told.visitNumber),
    },
    numbers: told.numbers,
    accessionNumber: told.accessionNumber,
  };
}

const numbersOf = (field: string, facts: MessageFacts): readonly PatientNumber[] =>
  numbersIn(field, facts).map(({ id, namespace, universal, typeCode }) => ({
    id,
    issuer: namespace || universal || null,
    typeCode: typeCode || null,
  }));

/** As it was written, unless the sender's separators are others. */
function usual(field: string, facts: MessageFacts): string {
  const own = facts.separators;
  const levels = ["repetition", "component", "subcomponent"] as const;
  if ([...levels, "escape" as const].every((level) => own[level] === usualSeparators[level])) return field;
  const rewrite = (text: string, [level, ...inner]: readonly (typeof levels)[number][]): string =>
    level === undefined
      ? escapeText(unescapeText(text, facts), usualSeparators)
      : text
          .split(own[level])
          .map((part) => rewrite(part, inner))
          .join(usualSeparators[level]);
  return rewrite(field, levels);
}
