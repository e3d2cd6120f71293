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

test("a variable is a number or a truth value where one is wanted, and text everywhere else", () => {
  const file = join(mkdtempSync(join(tmpdir(), "semrs-check-")), "channels.yaml");
  const yaml = shipped
    .replace(
      "    repository:",
      `    limits: { connections: "\${N:4}" }\n    alerts: { silent: "\${B:true}" }\n    repository:`,
    )
    .replace("latest: 50", `latest: "\${LATEST:5}"`)
    .replace(
      "calledAeTitle: PACS_B, associations: 4",
      `calledAeTitle: "\${AET:0012}", associations: "\${N:4}", callers: [{ aeTitle: "\${AET:0012}" }]`,
    );
  writeFileSync(file, yaml);
  const { config } = readConfig(file, { SITE: "hospital-a", B: "false", N: "16" });
  expect(config?.own).toMatchObject({ limits: { connections: 16 }, alerts: { silent: false } });
  const { config: b } = readConfig(file, { SITE: "hospital-b" });
  expect(b?.own.systems.pacs?.dicom).toMatchObject({ calledAeTitle: "0012", associations: 4 });
  expect(b?.own.channels.find(({ kind }) => kind === "inbound")).toMatchObject({ fetch: { rules: [{ latest: 5 }] } });
  const told = readConfig(file, { SITE: "hospital-a", N: "many", B: "yes" }).findings.map(findingText).join("\n");
  expect(told).toMatch(/limits\.connections: Invalid input: expected number, received string/);
  expect(told).toMatch(/alerts\.silent: Invalid input: expected boolean, received string/);
});

test("the forms of a registry's rule are those that there are, as everywhere", () => {
  const file = join(mkdtempSync(join(tmpdir(), "semrs-check-")), "channels.yaml");
  const access = (forms: string): string =>
    shipped.replace(
      "    repository:",
      `    registry: { listen: "127.0.0.1:8441", access: [{ forms: [${forms}] }] }\n    repository:`,
    );
  writeFileSync(file, access("116, other"));
  const { config, findings } = readConfig(file, { SITE: "hospital-a" });
  expect(findings.map(findingText)).toEqual([]);
  expect(config?.own.access).toMatchObject([{ forms: ["116", "other"] }]);
  writeFileSync(file, access("11b"));
  const told = readConfig(file, { SITE: "hospital-a" }).findings.map(findingText).join("\n");
  expect(told).toMatch(/error CONFIG_VALUE sites\.hospital-a\.registry\.access\.0\.forms\.0/);
});
