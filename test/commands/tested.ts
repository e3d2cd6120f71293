/** `semrs test` in a folder of its own: the shipped file after an edit, and tests of it. */
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";
import { testCommand } from "../../commands/test/index.ts";
import { here, root } from "./cli.ts";

export const shipped = readFileSync(join(root, "channels.yaml"), "utf8");
export const hl7 = (name: string): string => join(root, "test/fixtures/hl7v2", `${name}.hl7`);

/** Tests against channels.yaml after one edit; the edited text tells which line decides. */
export async function tested(
  edit: readonly (readonly [from: string, to: string])[],
  tests: object,
  ...flags: string[]
) {
  const folder = mkdtempSync(join(tmpdir(), "semrs-tests-"));
  const text = edit.reduce((before, [from, to]) => {
    expect(before).toContain(from);
    return before.replace(from, to);
  }, shipped);
  writeFileSync(join(folder, "channels.yaml"), text);
  writeFileSync(join(folder, "channels.test.yaml"), JSON.stringify(tests));
  const ran = await here(testCommand(), folder, flags);
  return { ...ran, folder, lineOf: (part: string) => text.slice(0, text.indexOf(part)).split("\n").length };
}

export const record = { to: "his", files: [hl7("mdm-t02-121")] };
export const admission = { to: "hospital-b/his", files: [hl7("adt-a01-second")] };
export const report = { to: "his", files: [hl7("mdm-t02-116")] };
export const study = { to: "pacs", files: [join(root, "examples/study/*.dcm")] };
export const one = (send: unknown, wanted: object) => ({
  site: "hospital-a",
  tests: [{ name: "it travels", send, expect: wanted, within: "2s" }],
});
