/** Whether this user may use a data folder: one that another user has made, or that was restored by root, is no defect. */
import { accessSync, constants } from "node:fs";
import { join } from "node:path";
import { Fault } from "../errors.ts";
import { makeFolderSync } from "../folder.ts";

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
const elsewhere = "name another data folder";
const owner = "give the data folder, with all that is in it, to the user that semrs runs as (chown -R)";
const said: ReadonlyMap<string, string> = new Map([
  ["EACCES", `is closed to this user; ${owner}`],
  ["EPERM", `is closed to this user; ${owner}`],
  ["EROFS", `is on a disk that takes no writes; see why (dmesg, mount), or ${elsewhere}`],
  ["EEXIST", `is there and no folder; ${elsewhere}`],
  ["ENOTDIR", `lies below something that is no folder; ${elsewhere}`],
  ["ENOENT", `cannot be made; see whether its disk is there, or ${elsewhere}`],
]);

/** Makes the folder if it is not there. CONFIG_INVALID names what this user cannot use, of it and what is in it. */
export function openFolder(folder: string): void {
  allowed(folder, () => makeFolderSync(folder, 0o700));
  for (const path of [folder, ...names.map((name) => join(folder, name))])
    allowed(path, () => {
      try {
        accessSync(path, R_OK | W_OK);
      } catch (thrown) {
        if ((thrown as NodeJS.ErrnoException).code !== "ENOENT") throw thrown; // what is not there is made
      }
    });
}

function allowed(path: string, work: () => void): void {
  try {
    work();
  } catch (cause) {
    const what = said.get((cause as NodeJS.ErrnoException).code ?? "");
    if (what === undefined) throw cause;
    throw new Fault("CONFIG_INVALID", `${path} ${what}`, { cause });
  }
}
