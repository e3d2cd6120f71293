/** A folder with keys of three houses, a report and two images, and what is sealed of them and opened again. */
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, expect } from "vitest";
import { initPki } from "../../commands/pki/index.ts";
import { documents } from "../fixtures/documents.ts";
import { root, semrs } from "./cli.ts";

export let cwd: string;
export const at = (name: string): string => join(cwd, name);
export const images = [1, 2].map((n) => readFileSync(join(root, `examples/study/ct-${n}.dcm`)));
export const run = (...args: string[]) => semrs(args, { cwd });
export const sealing = [
  "seal",
  "--sender",
  "DIR/hospital-a",
  "--to",
  "DIR/hospital-b",
  "--message-type",
  "116",
  "--document",
  "report.xml",
  "--image",
  "a.dcm",
  "--image",
  "b.dcm",
];
export const opening = ["open", "--receiver", "DIR/hospital-b", "--trust", "DIR/ca.crt"];

/** What a folder of an opened record holds. */
export const opened = (folder: string): readonly Buffer[] =>
  ["document.xml", "image-0001.dcm", "image-0002.dcm"].map((name) => readFileSync(at(`${folder}/${name}`)));
export const clear = [documents["116"], ...images].map((bytes) => Buffer.from(bytes));
let folders = 0;
export const fresh = (): string => {
  folders += 1;
  return `opened-${folders}`;
};

/** For the tests of the file that calls this. */
export function envelopeFolder(): void {
  cwd = mkdtempSync(join(tmpdir(), "semrs-envelope-"));
  beforeAll(async () => {
    await initPki(at("DIR"), ["hospital-a", "hospital-b", "hospital-c"], { now: new Date() });
    writeFileSync(at("report.xml"), documents["116"]);
    for (const [index, bytes] of images.entries()) writeFileSync(at(`${"ab"[index]}.dcm`), bytes);
  });
}

/** Seals `record.eml`, for the tests that open it. */
export async function sealRecord(): Promise<void> {
  expect(await run(...sealing, "--profile", "semrs-2", "--out", "record.eml")).toMatchObject({
    exit: 0,
    err: expect.stringContaining("record.eml: 6 parts for hospital-b"),
  });
}
