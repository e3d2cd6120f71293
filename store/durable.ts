/** A small file that is there after a power cut, whole or not at all. */
import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

/** Written beside its place, synced, renamed, and the rename synced: a crash leaves the file before or the file after. */
export function writeDurably(path: string, content: string | Uint8Array, mode: number): void {
  const beside = `${path}.new`;
  try {
    // Of an attempt that was killed: its mode may be another.
    rmSync(beside, { force: true });
    const file = openSync(beside, "wx", mode);
    try {
      writeFileSync(file, content);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(beside, path);
  } catch (thrown) {
    rmSync(beside, { force: true });
    throw thrown;
  }
  const folder = openSync(dirname(path), "r");
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
