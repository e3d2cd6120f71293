/** What a command may be made of, looked at in its octets: JSON.parse and the schemas take seconds for megabytes of what none of them has. */
import { Fault } from "../errors.ts";

/** Objects and arrays in one another; the deepest command has eight. */
const maxDepth = 16;
/** Members of one object; an entry has the most, thirty. */
const maxMembers = 64;
/** Values of one array: associations, 40 octets each, as many as one page of an answer has room for. */
const maxElements = 220_000;
/** Commas and opening brackets of all: 200 entries with as many values as an entry may have; a page of an answer, 4 octets each. */
const [maxValues, maxFound] = [600_000, 2_200_000];

const [quote, backslash, comma] = [0x22, 0x5c, 0x2c];
const [openArray, closeArray, openObject, closeObject] = [0x5b, 0x5d, 0x7b, 0x7d];

/** QUERY_INVALID for octets that hold more than a command does; whether they are JSON is not asked. */
export function checkShape(name: string, bytes: Uint8Array): void {
  /** How many commas each open object or array may still have. */
  const left: number[] = [];
  const max = name === "found" ? maxFound : maxValues;
  let values = 0;
  for (let at = 0; at < bytes.length; at += 1) {
    const octet = bytes[at];
    if (octet === quote) {
      for (at += 1; at < bytes.length && bytes[at] !== quote; at += 1) if (bytes[at] === backslash) at += 1;
    } else if (octet === openObject || octet === openArray) {
      values += 1;
      if (left.push(octet === openObject ? maxMembers - 1 : maxElements - 1) > maxDepth) throw over(name, "depth");
    } else if (octet === closeObject || octet === closeArray) left.pop();
    else if (octet === comma) {
      values += 1;
      const rest = left.pop() ?? 0;
      if (rest === 0) throw over(name, "members of one object or array");
      left.push(rest - 1);
    }
    if (values > max) throw over(name, "values");
  }
}

const over = (name: string, what: string): Fault =>
  new Fault("QUERY_INVALID", `the ${name} command is over the limit of ${what}; send what the specification has`);
