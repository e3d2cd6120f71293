/** `semrs check` on the shipped file after edits, in this process: sixty of its own would mostly wait for Node to start. */
import { once } from "node:events";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";
import type { Door } from "../../commands/check/firewall.ts";
import { checkCommand } from "../../commands/check/index.ts";
import { here, root } from "./cli.ts";

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
  const ran = await here(checkCommand(), folder, ["--json", ...args], {
    PKI: keys,
    DATA: join(folder, "data"),
    ...env,
  });
  const { findings = [], doors = [] } = ran.out
    ? (JSON.parse(ran.out) as {
        findings: { code: string; message: string; file: string; line: number }[];
        doors: Door[];
      })
    : {};
  for (const { code } of findings) raised.add(code);
  return { ...ran, findings, doors, text, folder };
}

export const codes = (findings: readonly { code: string }[]): readonly string[] =>
  [...new Set(findings.map(({ code }) => code))].sort();

/** The port of a PACS that answers, and rejects whoever asks for good without a reason: A-ASSOCIATE-RJ (PS3.8 9.3.4). */
export async function rejectingPacs(): Promise<string> {
  const pacs = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.once("data", () => socket.end(Buffer.from("03000000000400010101", "hex")));
  }).listen(0, "127.0.0.1");
  await once(pacs.unref(), "listening");
  return String((pacs.address() as AddressInfo).port);
}
