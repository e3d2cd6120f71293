/** Another storage key for a data folder that no process uses: the folder's own key is sealed under it, and no longer under the one before. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Fault } from "../errors.ts";
import { keySql, openFolderKeys, sealFolderKey, settled } from "./folder-key.ts";
import { lockFolder } from "./lock.ts";
import type { Row } from "./sqlite.ts";

/**
 * Each step is on the disk before the next: at any moment the storage key that is in its place opens the folder. `replace` puts the next
 * one there; without it both open the folder until a house has started with the next one. ALREADY_RUNNING; CONFIG_INVALID where `key` is not
 * the folder's, the folder holds nothing, or it has no key of its own.
 */
export function rekey(folder: string, key: Uint8Array, next: Uint8Array, replace?: () => void): void {
  const path = join(folder, "semrs.db");
  if (!existsSync(path)) throw new Fault("CONFIG_INVALID", `${folder} holds no store yet`);
  const unlock = lockFolder(folder);
  try {
    const db = new DatabaseSync(path);
    try {
      // What is written over or deleted is zeros afterwards, in the index and, since that is cut to nothing, in its log.
      db.exec("PRAGMA busy_timeout = 5000; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON");
      const { own, name } = ownKey(db, key, folder);
      const settle = (): void => {
        for (const sql of ["BEGIN IMMEDIATE", ...settled, "COMMIT"]) db.exec(sql);
      };
      // The row that opens now is not the one that is written over.
      if (name !== "key") settle();
      const sealed = sealFolderKey(next, own);
      db.prepare("INSERT OR REPLACE INTO meta (name, value) VALUES ('next key', ?)").run(sealed);
      if (!replace) return;
      replace();
      settle();
      db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    } finally {
      db.close();
    }
  } finally {
    unlock();
  }
}

function ownKey(db: DatabaseSync, key: Uint8Array, folder: string) {
  const { own, name } = openFolderKeys(db.prepare(keySql).all() as Row[], key, folder) ?? {};
  if (own) return { own, name };
  throw new Fault(
    "CONFIG_INVALID",
    `${folder} is of a version that sealed everything under storage.key itself: it opens with that alone; to be rid of it, begin a new folder (docs/incidents.md)`,
  );
}
