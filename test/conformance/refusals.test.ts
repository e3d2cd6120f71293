/** The list of refusals the envelope was designed against, 1 to 99: each has a test that begins with its number. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const root = join(import.meta.dirname, "..");
const folders = ["envelope", "exchange", "store", "faults"];
const last = 99;

/** Tests that show a refusal under a name of their own. */
const elsewhere: Readonly<Record<number, readonly [file: string, name: string]>> = {
  40: ["envelope/wycheproof.test.ts", "ECDH on P-256: uncompressed points on the curve; everything else is refused"],
  81: ["envelope/receipt.test.ts", "counts only from the one who signed it"],
  83: [
    "faults/kill.test.ts",
    "everything that was acknowledged before, between and after two kills arrives at B, byte for byte",
  ],
};
/** Not shown by a test yet, with what stands in the code. */
const missing: Readonly<Record<number, string>> = {};

const texts = folders.flatMap((folder) =>
  readdirSync(join(root, folder))
    .filter((file) => file.endsWith(".ts"))
    .map((file) => readFileSync(join(root, folder, file), "utf8")),
);
const isNamed = (number: number): boolean => texts.some((text) => new RegExp(`["\`]${number} [a-zA-Z_"#*]`).test(text));
const numbers = Array.from({ length: last }, (_, index) => index + 1);

test.each(numbers.filter((number) => !missing[number]))("refusal %i has a test", (number) => {
  const other = elsewhere[number];
  if (other) expect(readFileSync(join(root, other[0]), "utf8")).toContain(other[1]);
  else expect(isNamed(number)).toBe(true);
});

test("what is listed as missing is missing", () => {
  expect(Object.keys(missing).map(Number).filter(isNamed)).toEqual([]);
});

test("the specification has each of them, once and in order", () => {
  const spec = readFileSync(join(root, "../envelope/SPEC.md"), "utf8");
  const listed = spec.slice(spec.indexOf("# Refusals"), spec.indexOf("# Test vectors"));
  const rows = listed.split("\n").filter((line) => /^\| [A-Za-z]+ \| \d/.test(line));
  // The next number in turn begins the next refusal; figures within one are not that.
  let next = 1;
  for (const word of rows.join(" ").split(" ")) if (word === String(next)) next += 1;
  expect(next - 1).toBe(last);
});
