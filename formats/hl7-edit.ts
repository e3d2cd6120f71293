/** Fields of a message by address (`PID-3.4`, `MSH-9.2`), read unescaped and written escaped; what is not written stays as it is. */
import { Fault } from "../errors.ts";
import { encodeText } from "./charset.ts";
import { escapeText, fieldsOf, type MessageFacts, type Segment, segments, unescapeText } from "./hl7.ts";

/** `SEG-field`, `SEG-field.component` or `SEG-field.component.subcomponent`, each from 1. */
export const fieldAddress = /^[A-Z][A-Z0-9]{2}-[1-9]\d{0,2}(\.[1-9]\d?){0,2}$/;

/** A value, or what becomes of each value that is there. */
export type FieldEdit = { readonly field: string; readonly to: string | ((value: string) => string) };

type Address = { readonly segment: string; readonly index: number; readonly parts: readonly number[] };

/** MSH-1 is the separator itself, so the fields of MSH begin one later. */
function addressOf(field: string): Address {
  const [segment = "", numbers = ""] = field.split("-");
  const [index = 0, ...parts] = numbers.split(".").map(Number);
  return { segment, index: segment === "MSH" ? index - 1 : index, parts: parts.map((part) => part - 1) };
}

/** Values of a field in every segment and repetition that has it; an absent one is not among them. */
export function valuesOf(message: Uint8Array, facts: MessageFacts, field: string): readonly string[] {
  const { segment, index, parts } = addressOf(field);
  const values: string[] = [];
  for (const each of segments(message)) {
    if (each.name !== segment) continue;
    for (const repetition of (fieldsOf(each, facts)[index] ?? "").split(facts.separators.repetition)) {
      const value = partOf(repetition, parts, facts);
      if (value !== "") values.push(unescapeText(value, facts));
    }
  }
  return values;
}

function partOf(
  repetition: string,
  [component, subcomponent]: readonly number[],
  { separators }: MessageFacts,
): string {
  if (component === undefined) return repetition;
  const value = repetition.split(separators.component)[component] ?? "";
  return subcomponent === undefined ? value : (value.split(separators.subcomponent)[subcomponent] ?? "");
}

/** Fields that say what a message is and who answers for it, and the document itself: nobody writes them. */
const fixed = /^(MSH-([127]|9|1[0128])|OBX-[25])(\.|$)/;

/**
 * The message with fields written, in its own charset; a segment that is not written stays octet for octet. TRANSFORM_FAILED for
 * an address that cannot be written: no such segment, or a field that stays.
 */
export function edited(message: Uint8Array, facts: MessageFacts, edits: readonly FieldEdit[]): Uint8Array {
  const lines = [...segments(message)].map(({ name, bytes }) => ({ name, bytes }));
  for (const { field, to } of edits) {
    const address = addressOf(field);
    if (!fieldAddress.test(field) || fixed.test(field)) throw refused(field, "is not one that can be written");
    const found = lines.filter(({ name }) => name === address.segment);
    if (found.length === 0) throw refused(field, "has no segment in this message");
    for (const line of found) line.bytes = written(line, address, to, facts);
  }
  return Buffer.concat(lines.flatMap(({ bytes }) => [bytes, Uint8Array.of(0x0d)]));
}

const refused = (field: string, what: string): Fault => new Fault("TRANSFORM_FAILED", `${field.slice(0, 20)} ${what}`);

function written(segment: Segment, { index, parts }: Address, to: FieldEdit["to"], facts: MessageFacts): Uint8Array {
  const { field, repetition } = facts.separators;
  const fields = [...fieldsOf(segment, facts)];
  while (fields.length <= index) fields.push("");
  fields[index] = (fields[index] ?? "")
    .split(repetition)
    .map((each) => put(each, parts, to, facts))
    .join(repetition);
  return encodeText(fields.join(field), facts.charset).bytes;
}

function put(
  whole: string,
  [at, ...rest]: readonly number[],
  to: FieldEdit["to"],
  facts: MessageFacts,
  isInner = false,
): string {
  if (at === undefined) {
    if (typeof to === "string") return escapeText(to, facts.separators);
    const value = unescapeText(whole, facts);
    const made = whole === "" ? "" : to(value);
    // What stays is as it came: of a value with parts, their separators would be escaped.
    return made === value ? whole : escapeText(made, facts.separators);
  }
  const separator = isInner ? facts.separators.subcomponent : facts.separators.component;
  const pieces = whole.split(separator);
  while (pieces.length <= at) pieces.push("");
  pieces[at] = put(pieces[at] ?? "", rest, to, facts, true);
  return pieces.join(separator);
}
