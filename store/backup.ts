/**
 * A backup of a data folder while its site goes on, and its way back. A backup is what a power cut at one moment would have
 * left: one snapshot of the index, the accept journal up to what that snapshot holds, and every blob file that it names
 * (a running site removes none). It is sealed as the original is; the key is not in it.
 */
import { createHash } from "node:crypto";
import {
  chmodSync,
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
} from "node:fs";
import { basename, dirname, join, relative, sep } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Fault } from "../errors.ts";
import { makeFolderSync } from "../folder.ts";
import { emptyHead, type Head, walkOn } from "./accept-journal.ts";
import { isFull, isUnreadable } from "./disk-errors.ts";
import { writeDurably } from "./durable.ts";
import { keySql, openFolderKeys } from "./folder-key.ts";
import { checkOwner, type House } from "./owner.ts";
import { checkpointOf, type Row } from "./sqlite.ts";

/** backup.json: written last; a folder without it is no whole backup. */
export type Backup = {
  readonly format: 1;
  readonly site: string;
  /** ISO 8601. */
  readonly at: string;
  /** Lines of the accept journal. */
  readonly acceptances: number;
  readonly blobs: number;
  /** Of index, journal and blob files together, octets. */
  readonly bytes: number;
  readonly sha256: { readonly index: string; readonly journal: string };
};

const files = { index: "semrs.db", journal: "accept.journal", told: "backup.json" } as const;
const chunkBytes = 1024 * 1024;
/** As in a data folder, whatever the umask: a copy of it may lie in an open folder. */
const ownerOnly = 0o600;

/** Writes a backup into a folder that is not there yet. CONFIG_INVALID when it is, STORE_DAMAGED or STORE_FULL on the way. */
export function backUp(data: string, target: string, site: string, at: Date): Backup {
  if (!existsSync(join(data, files.index))) throw new Fault("CONFIG_INVALID", `${data} holds no store yet`);
  checkApart(data, target);
  return inOneStep(target, (partial) => {
    const [index, journal] = [join(partial, files.index), join(partial, files.journal)];
    const source = new DatabaseSync(join(data, files.index));
    try {
      source.exec("PRAGMA busy_timeout = 5000");
      source.prepare("VACUUM INTO ?").run(index);
      chmodSync(index, ownerOnly);
    } finally {
      source.close();
    }
    // After the snapshot: whatever the index says of the journal is in it by now.
    if (existsSync(join(data, files.journal))) copy(join(data, files.journal), journal);
    const snapshot = new DatabaseSync(index);
    try {
      snapshot.exec("PRAGMA journal_mode = WAL");
      const acceptances = cut(snapshot, journal);
      let [blobs, bytes] = [0, 0];
      for (const { file } of snapshot.prepare("SELECT file FROM blob WHERE file IS NOT NULL").iterate()) {
        const name = String(file);
        bytes += copy(join(data, "blobs", name.slice(0, 2), name), join(partial, "blobs", name.slice(0, 2), name));
        blobs += 1;
      }
      snapshot.close();
      sync(index);
      const sha256 = { index: digestOf(index), journal: digestOf(journal) };
      const total = bytes + statSync(index).size + (existsSync(journal) ? statSync(journal).size : 0);
      const backup: Backup = { format: 1, site, at: at.toISOString(), acceptances, blobs, bytes: total, sha256 };
      writeDurably(join(partial, files.told), `${JSON.stringify(backup, null, 2)}\n`, ownerOnly);
      return backup;
    } finally {
      if (snapshot.isOpen) snapshot.close();
    }
  });
}

/**
 * Makes a data folder of a backup. CONFIG_INVALID where one is already, or the key or the house is another; STORE_DAMAGED when index
 * or journal have changed.
 */
export function restore(from: string, data: string, key: Uint8Array, house?: House): Backup {
  const backup = readBackup(from);
  checkApart(from, data);
  for (const part of ["index", "journal"] as const)
    if (digestOf(join(from, files[part])) !== backup.sha256[part])
      throw new Fault("STORE_DAMAGED", `${join(from, files[part])} has changed since the backup; take another one`);
  return inOneStep(data, (partial) => {
    copy(join(from, files.index), join(partial, files.index));
    checkIndex(join(partial, files.index), key, from, house && { ...house, told: backup.site });
    if (existsSync(join(from, files.journal))) copy(join(from, files.journal), join(partial, files.journal));
    for (const path of existsSync(join(from, "blobs"))
      ? readdirSync(join(from, "blobs"), { recursive: true, encoding: "utf8" })
      : [])
      if (statSync(join(from, "blobs", path)).isFile()) copy(join(from, "blobs", path), join(partial, "blobs", path));
    return backup;
  });
}

/** Before anything is made: a copy within what it is of is lost with it, and its files are nobody's there. */
function checkApart(original: string, copied: string): void {
  const [first = ""] = relative(realpathSync(original), placeOf(copied)).split(sep);
  if (first !== "..")
    throw new Fault("CONFIG_INVALID", `${copied} lies in ${original}; name a folder elsewhere, on another disk`);
}

/** Where a folder is, or would be made, past all links. */
const placeOf = (path: string): string =>
  existsSync(path) ? realpathSync(path) : join(placeOf(dirname(path)), basename(path));

/** Before anything is made: a folder that is there would be in the way of the next attempt, with the right key or backup. */
function checkIndex(
  index: string,
  key: Uint8Array,
  from: string,
  house: (House & { readonly told: string }) | undefined,
): void {
  const file = new DatabaseSync(index);
  const db = { get: (sql: string) => file.prepare(sql).get() };
  try {
    const keys = openFolderKeys(file.prepare(keySql).all() as Row[], key, from)?.keys;
    if (house && keys) checkOwner(house, db, keys, { what: `${from} is a backup`, unnamed: house.told });
  } finally {
    file.close();
  }
}

function readBackup(from: string): Backup {
  const path = join(from, files.told);
  try {
    const backup = JSON.parse(readFileSync(path, "utf8")) as Backup;
    if (backup.format === 1) return backup;
  } catch (cause) {
    throw new Fault("CONFIG_INVALID", `${path} cannot be read; name the folder that semrs backup has written`, {
      cause,
    });
  }
  throw new Fault("CONFIG_INVALID", `${path} is of a newer semrs; restore it with that version`);
}

/** Cuts the copy of the journal behind the last line that the snapshot has; the number of acceptances that stay. */
function cut(snapshot: DatabaseSync, journal: string): number {
  const known = snapshot.prepare("SELECT 1 FROM arrival WHERE id = ?");
  const checkpoint = checkpointOf(snapshot);
  let end: Head = checkpoint;
  let [acceptances, beyond] = [0, 0];
  for (const { accepted, head } of walkOn(journal, emptyHead)) {
    beyond += 1;
    if (head.offset > checkpoint.offset && known.get(accepted.id) === undefined) continue;
    if (head.offset > end.offset) end = head;
    acceptances += beyond;
    beyond = 0;
  }
  const size = existsSync(journal) ? statSync(journal).size : 0;
  if (size < end.offset)
    throw new Fault("STORE_DAMAGED", "the accept journal is shorter than the index says; semrs verify");
  if (size > 0) {
    truncateSync(journal, end.offset);
    sync(journal);
  }
  return acceptances;
}

/** Of a disk of its own, and of an attempt that was killed. */
const besides: readonly string[] = ["lost+found", ".partial"];
/** Without these a folder is none: they are put in place last. */
const lastFiles: readonly string[] = [files.index, files.told];

/** A folder is there whole or not at all. One that is there already may be a disk, or a link to one: it is filled, not replaced. */
function inOneStep<T>(target: string, fill: (partial: string) => T): T {
  const isThere = existsSync(target);
  if (isThere && readdirSync(target).some((name) => !besides.includes(name)))
    throw new Fault("CONFIG_INVALID", `${target} is not empty; move it away, or name a folder that is not there yet`);
  const partial = isThere ? join(target, ".partial") : `${target}.partial`;
  // Node has no code for a name that is too long to be removed.
  if (existsSync(partial)) rmSync(partial, { recursive: true, force: true });
  makeFolderSync(partial, 0o700);
  try {
    const made = fill(partial);
    for (const folder of foldersOf(partial)) sync(folder);
    if (isThere) moveInto(target, partial);
    else renameSync(partial, target);
    sync(isThere ? target : dirname(target));
    return made;
  } catch (thrown) {
    rmSync(partial, { recursive: true, force: true });
    if (isUnreadable(thrown))
      throw new Fault(
        "STORE_DAMAGED",
        "the index cannot be read, or not be copied; check the disks, then semrs verify",
        {
          cause: thrown,
        },
      );
    if (isFull(thrown)) throw new Fault("STORE_FULL", `${target} does not fit on its disk`, { cause: thrown });
    throw thrown;
  }
}

function moveInto(target: string, partial: string): void {
  chmodSync(target, 0o700);
  const names = readdirSync(partial).toSorted((one, other) => lastFiles.indexOf(one) - lastFiles.indexOf(other));
  for (const name of names) {
    if (lastFiles.includes(name)) sync(target);
    renameSync(join(partial, name), join(target, name));
  }
  rmSync(partial, { recursive: true });
}

const foldersOf = (root: string): readonly string[] => [
  ...readdirSync(root, { recursive: true, encoding: "utf8" })
    .map((path) => join(root, path))
    .filter((path) => statSync(path).isDirectory()),
  root,
];

/** One file for its owner alone, synced; shared with the original where the file system can. */
function copy(from: string, to: string): number {
  mkdirSync(dirname(to), { recursive: true, mode: 0o700 });
  try {
    copyFileSync(from, to, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "ENOENT") throw cause;
    throw new Fault("STORE_DAMAGED", `${from} is missing; semrs verify`, { cause });
  }
  chmodSync(to, ownerOnly);
  sync(to);
  return statSync(to).size;
}

function sync(path: string): void {
  const file = openSync(path, "r");
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** SHA-256, hex; of nothing where there is no file. */
function digestOf(path: string): string {
  const hash = createHash("sha256");
  if (!existsSync(path)) return hash.digest("hex");
  const file = openSync(path, "r");
  try {
    const chunk = Buffer.alloc(chunkBytes);
    for (let read = readSync(file, chunk); read > 0; read = readSync(file, chunk)) hash.update(chunk.subarray(0, read));
    return hash.digest("hex");
  } finally {
    closeSync(file);
  }
}
