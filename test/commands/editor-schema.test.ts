/** channels.schema.json, by which an editor checks the file: what a house starts with is right there, too. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parse } from "yaml";
import { z } from "zod";
import { channels } from "../../commands/init/templates.ts";
import { editorSchema } from "../../commands/reference/pages.ts";
import { root } from "./cli.ts";

const schema = z.fromJSONSchema(JSON.parse(editorSchema()));
const shipped = readFileSync(join(root, "channels.yaml"), "utf8");
const wrong = (text: string): readonly string[] => {
  const read = schema.safeParse(parse(text));
  return read.success ? [] : read.error.issues.map(({ path }) => path.join("."));
};

test.each([
  ["shipped", shipped],
  ["that semrs init writes", channels("hospital-x")],
])("the file %s", (_which, text) => {
  expect(wrong(text)).toEqual([]);
});

// biome-ignore-start lint/suspicious/noTemplateCurlyInString: this is how variables are written in the file
test.each([
  ["connections: 4", []],
  ['connections: "${N:4}"', []],
  ['connections: "${N}"', []],
  ['connections: "4"', ["sites.x.limits.connections"]],
  ['connections: "${N}0"', ["sites.x.limits.connections"]],
  ["connections: 0", ["sites.x.limits.connections"]],
])("a number: %s", (written, told) => {
  expect(
    wrong(`site: "\${SITE}"\nsites: { x: { data: d, admin: { listen: "1:1" }, limits: { ${written} } } }`),
  ).toEqual(told);
});

test("a name, and no key, may be a variable", () => {
  const site = (name: string, key = "x"): string =>
    `site: "${name}"\nsites: { "${key}": { data: d, admin: { listen: "1:1" } } }`;
  expect(wrong(site("${SITE}"))).toEqual([]);
  expect(wrong(site("hospital-${X:a}"))).toEqual([]);
  expect(wrong(site("Hospital A"))).toEqual(["site"]);
  expect(wrong(site("a", "${X:a}"))).not.toEqual([]);
});
// biome-ignore-end lint/suspicious/noTemplateCurlyInString: see above
