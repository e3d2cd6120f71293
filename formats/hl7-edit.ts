/** Fields of a message by address (`PID-3.4`, `MSH-9.2`), read unescaped and written escaped; what is not written stays as it is. */
import { Fault } from "../errors.ts";
import { decoderOf, escapeText, fieldsOf, type MessageFacts, type Segment, segments, unescapeText } from "./hl7.ts";

/** `SEG-field`, `SEG-field.component` or `SEG-field.component.subcomponent`, each from 1. */
export const fieldAddress = /^[A-Z][A-Z0-9]{2}-[1-9]\d{0,2}(\.[1-9]\d?){0,2}$/;

export type FieldEdit = { readonly field: string; readonly to: string };

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

/** Fields that say what a message is and who answers for it: nobody writes them. */
const fixed = /^MSH-([127]|9|1[0128])(\.|$)/;

/**
 * The message with fields written, in UTF-8; a segment that is not written stays as it is. TRANSFORM_FAILED for an address that
 * cannot be written: no such segment, or a field that stays.
 */
export function edited(
  message: Uint8Array,
  facts: MessageFacts,
  edits: readonly FieldEdit[],
): { readonly bytes: Uint8Array; readonly facts: MessageFacts } {
  const isUtf8 = facts.charset === "utf-8";
  const lines = [...segments(message)].map(({ name, bytes }) => ({
    name,
    bytes: isUtf8 ? bytes : Buffer.from(decoderOf(facts.charset).decode(bytes), "utf8"),
  }));
  const now = { ...facts, charset: "utf-8" };
  for (const { field, to } of edits) {
    const address = addressOf(field);
    if (!fieldAddress.test(field) || fixed.test(field)) throw refused(field, "is not one that can be written");
    const found = lines.filter(({ name }) => name === address.segment);
    if (found.length === 0) throw refused(field, "has no segment in this message");
    for (const line of found) line.bytes = written(line, address, to, now);
  }
  return { bytes: Buffer.concat(lines.flatMap(({ bytes }) => [bytes, Uint8Array.of(0x0d)])), facts: now };
}

const refused = (field: string, what: string): Fault => new Fault("TRANSFORM_FAILED", `${field.slice(0, 20)} ${what}`);

function written(segment: Segment, { index, parts }: Address, to: string, facts: MessageFacts): Uint8Array {
  const { field, repetition } = facts.separators;
  const fields = Buffer.from(segment.bytes).toString("utf8").split(field);
  while (fields.length <= index) fields.push("");
  fields[index] = (fields[index] ?? "")
    .split(repetition)
    .map((each) => put(each, parts, escapeText(to, facts.separators), facts))
    .join(repetition);
  return Buffer.from(fields.join(field), "utf8");
}

function put(
  whole: string,
  [at, ...rest]: readonly number[],
  to: string,
  facts: MessageFacts,
  isInner = false,
): string {
  if (at === undefined) return to;
  const separator = isInner ? facts.separators.subcomponent : facts.separators.component;
  const pieces = whole.split(separator);
  while (pieces.length <= at) pieces.push("");
  pieces[at] = put(pieces[at] ?? "", rest, to, facts, true);
  return pieces.join(separator);
}
