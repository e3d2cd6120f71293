/** Fields of a message by their name: TXA-12, PID-3. Octets that are not touched stay as they are. */
import { Fault } from "../../errors.ts";
import { decoderOf, readMshLine } from "../../formats/hl7.ts";

const pattern = /^([A-Z][A-Z0-9]{2})-(\d{1,3})$/;

/** A copy of the message with fields replaced, in the first segment of each name; values are UTF-8. */
export function setFields(message: Uint8Array, values: Readonly<Record<string, string>>): Uint8Array {
  if (Object.keys(values).length === 0) return message;
  // Segments as an editor may have ended them, each with its end: no charset used here has CR or LF inside a character.
  const lines = Buffer.from(message)
    .toString("latin1")
    .split(/(?<=\r\n|\r(?!\n)|\n)/);
  const separator = lines[0]?.[3] ?? "|";
  for (const [name, value] of Object.entries(values)) {
    const [, segment = "", number = ""] = pattern.exec(name) ?? [];
    const at = lines.findIndex((line) => line.startsWith(segment));
    if (at < 0) throw new Fault("CONFIG_INVALID", `${name}: the message has no ${segment}`);
    const [, line = "", end = ""] = /^([^\r\n]*)([\r\n]*)$/.exec(lines[at] ?? "") ?? [];
    const fields = line.split(separator);
    const index = indexOf(segment, Number(number));
    while (fields.length <= index) fields.push("");
    fields[index] = Buffer.from(value, "utf8").toString("latin1");
    lines[at] = `${fields.join(separator)}${end}`;
  }
  return Buffer.from(lines.join(""), "latin1");
}

/** The value of a field in the first segment of its name; "" where it is not there. */
export function fieldOf(message: Uint8Array, name: string): string {
  const [, segment = "", number = ""] = pattern.exec(name) ?? [];
  const { charset = "utf-8" } = readMshLine(message) ?? {};
  const lines = decoderOf(charset).decode(message).split("\r");
  const separator = lines[0]?.[3] ?? "|";
  const line = lines.find((each) => each.startsWith(segment)) ?? "";
  return line.split(separator)[indexOf(segment, Number(number))] ?? "";
}

/** MSH-1 is the separator itself, so MSH-2 is the first after it. */
const indexOf = (segment: string, number: number): number => (segment === "MSH" ? number - 1 : number);
