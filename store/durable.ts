/** A small file that is there after a power cut, whole or not at all. */
import {
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  fsyncSync,
  linkSync,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path";

/** Written beside its place, past a link to it, synced, renamed, and the rename synced: a crash leaves the file before or the file after. */
export function writeDurably(path: string, content: string | Uint8Array, mode: number): void {
  const place = existsSync(path) ? realpathSync(path) : path;
  putInPlace(place, `${place}.new`, content, mode, renameSync);
}

/** The same of a file that is not there yet: EEXIST where it is, whoever made it meanwhile. */
export function writeNewDurably(path: string, content: string | Uint8Array, mode: number): void {
  // Two that do so at once must not write into one file.
  putInPlace(path, `${path}.${process.pid}.new`, content, mode, nameAnew);
}

function nameAnew(beside: string, path: string): void {
  try {
    linkSync(beside, path);
  } catch (thrown) {
    // A disk without links, such as a stick that keys are carried on.
    if (!["EPERM", "ENOTSUP", "EOPNOTSUPP"].includes((thrown as NodeJS.ErrnoException).code ?? "")) throw thrown;
    copyFileSync(beside, path, constants.COPYFILE_EXCL);
    sync(path);
  }
  rmSync(beside);
}

function putInPlace(
  path: string,
  beside: string,
  content: string | Uint8Array,
  mode: number,
  name: (beside: string, path: string) => void,
): void {
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
    name(beside, path);
  } catch (thrown) {
    rmSync(beside, { force: true });
    throw thrown;
  }
  sync(dirname(path));
}

function sync(path: string): void {
  const file = openSync(path, "r");
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
