/** A small file that is there after a power cut, whole or not at all. */
import { closeSync, fsyncSync, openSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

/** Written beside its place, synced, renamed, and the rename synced: a crash leaves the file before or the file after. */
export function writeDurably(path: string, content: string | Uint8Array, mode: number): void {
  const beside = `${path}.new`;
  const file = openSync(beside, "w", mode);
  try {
    writeFileSync(file, content);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(beside, path);
  const folder = openSync(dirname(path), "r");
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
