/** A file that cannot be read as it is meant: one finding, with its place, and never an exception that would end a house at a reload. */
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readConfig } from "../../pipeline/config.ts";
import { readConfigFile } from "../../pipeline/config-file.ts";
import { findingText } from "../../pipeline/config-findings.ts";
import { shipped } from "./checked.ts";

test("keys are what is written: a number keeps its zeros, and 1e3 is no thousand", () => {
  const file = join(mkdtempSync(join(tmpdir(), "semrs-check-")), "authorities.yaml");
  writeFileSync(file, "0401180014: MOI\n1e3: A\n0x1F: B\n1.50: C\n01: D\n1: E\n~: F\n");
  const { value, findings } = readConfigFile(file, "authorities.yaml", {});
  expect(findings).toEqual([]);
  expect(value).toEqual({ "0401180014": "MOI", "1e3": "A", "0x1F": "B", "1.50": "C", "01": "D", "1": "E", "~": "F" });
});

test.each<[string, string | Uint8Array, string | undefined, RegExp]>([
  ["an alias of nothing", shipped.replace("MDM,", "*MDM,"), undefined, /:\d+:\d+ error CONFIG_SYNTAX \*MDM stands for/],
  [
    "aliases of aliases",
    `a: &a [x]\nb: &b [${"*a,".repeat(99)}]\nc: [${"*b,".repeat(99)}]`,
    undefined,
    /SYNTAX its aliases/,
  ],
  [
    "a variable without quotes among others in braces",
    shipped.replace(/"(\$\{QUIET:60s\})"/, "$1"),
    undefined,
    /^[^\n]*:54:\d+ error CONFIG_SYNTAX [^\n]*between \{ \} or \[ \] a value with \$\{NAME\} wants quotes$/,
  ],
  ...["his}", "A-HIS:2575}", "A_HIS:-2575}", "A_HIS"]
    .map((rest) => `\${${rest}`)
    .map((written): [string, string, string, RegExp] => [
      `${written}, which is no variable,`,
      shipped.replace(/\$\{A_HIS:2575\}/, () => written),
      "hospital-a",
      /^[^\n]*:28:\d+ error CONFIG_VARIABLE [^\n]*\$\{[^\n]* is no variable; write/m,
    ]),
  ["octets of Big5", Buffer.from(`${shipped}# \xa4\xba`, "latin1"), undefined, /CONFIG_UNREADABLE is not UTF-8/],
  [
    "a site that every object has",
    shipped,
    "constructor",
    /:\d+:\d+ error CONFIG_NAME site: this file has no site constructor/,
  ],
])("%s is told with its place", (_what, text, SITE, told) => {
  const file = join(mkdtempSync(join(tmpdir(), "semrs-check-")), "channels.yaml");
  writeFileSync(file, text);
  expect(readConfig(file, { SITE }).findings.map(findingText).join("\n")).toMatch(told);
});
