/** A folder for what is passed to a peer program and back, gone after the tests of the file. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";

let folder: string;
/** For the tests of the file that calls this. */
export function scratch(): void {
  folder = mkdtempSync(join(tmpdir(), "semrs-peer-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
}

/** The path of a file in it, written first where there are bytes. */
export function file(name: string, bytes?: Uint8Array | string): string {
  const path = join(folder, name);
  if (bytes !== undefined) writeFileSync(path, bytes, { mode: 0o600 });
  return path;
}
