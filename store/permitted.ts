/** Whether this user may use a data folder: one that another user has made, or that was restored by root, is no defect. */
import { accessSync, constants, mkdirSync } from "node:fs";
import { join } from "node:path";
import { Fault } from "../errors.ts";

const { R_OK, W_OK } = constants;
/** A folder may be the root of a disk, with what is of the disk in it: only what is ours is looked at. */
const names = [
  "semrs.db",
  "semrs.db-wal",
  "semrs.db-shm",
  "semrs.owner",
  "semrs.lock",
  "accept.journal",
  "blobs",
  "spool",
];
/** What is not there is made; a disk that takes no writes is told of where it is written to. */
const passed: ReadonlySet<string> = new Set(["ENOENT", "EROFS"]);

/** Makes the folder if it is not there. CONFIG_INVALID names what is closed to this user, of it and what is in it. */
export function openFolder(folder: string): void {
  allowed(folder, () => mkdirSync(folder, { recursive: true, mode: 0o700 }));
  for (const path of [folder, ...names.map((name) => join(folder, name))])
    allowed(path, () => {
      try {
        accessSync(path, R_OK | W_OK);
      } catch (thrown) {
        if (!passed.has((thrown as NodeJS.ErrnoException).code ?? "")) throw thrown;
      }
    });
}

function allowed(path: string, work: () => void): void {
  try {
    work();
  } catch (cause) {
    const { code = "" } = cause as NodeJS.ErrnoException;
    if (code !== "EACCES" && code !== "EPERM") throw cause;
    const next = "give the data folder, with all that is in it, to the user that semrs runs as (chown -R)";
    throw new Fault("CONFIG_INVALID", `${path} is closed to this user; ${next}`, { cause });
  }
}
