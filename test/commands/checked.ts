/** `semrs check` on the shipped file after edits. */
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";
import { root, semrs } from "./cli.ts";

export const shipped = readFileSync(join(root, "channels.yaml"), "utf8");
/** Every code that was found. */
export const raised = new Set<string>();

export type Edit = readonly (readonly [from: string, to: string])[];

/** What is said of the shipped file after edits; with keys and data of its own unless only the file is looked at. */
export async function checked(
  edit: Edit,
  {
    keys = "pki",
    args = ["--file"],
    env = {},
  }: { keys?: string; args?: readonly string[]; env?: Record<string, string> } = {},
) {
  const folder = mkdtempSync(join(tmpdir(), "semrs-check-"));
  const text = edit.reduce((before, [from, to]) => {
    expect(before).toContain(from);
    return before.replaceAll(from, to);
  }, shipped);
  writeFileSync(join(folder, "channels.yaml"), text);
  const ran = await semrs(["check", "--json", ...args], {
    cwd: folder,
    env: { PKI: keys, DATA: join(folder, "data"), ...env },
  });
  const { findings = [], doors = [] } = ran.out
    ? (JSON.parse(ran.out) as {
        findings: { code: string; message: string; file: string; line: number }[];
        doors: unknown[];
      })
    : {};
  for (const { code } of findings) raised.add(code);
  return { ...ran, findings, doors, text, folder };
}
export const codes = (findings: readonly { code: string }[]): readonly string[] =>
  [...new Set(findings.map(({ code }) => code))].sort();
