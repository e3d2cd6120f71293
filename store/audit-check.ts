/** The audit log in a data folder, looked at without the site's key and beside a site that runs. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Fault } from "../errors.ts";
import { type AuditCheck, checkChain, type WitnessedHead } from "./audit-chain.ts";
import { auditRows } from "./audit-log.ts";
import type { Database } from "./sqlite.ts";
import { type HeldHead, headsOf } from "./witnesses.ts";

/** The whole chain, beside the heads that others hold of it. */
export const checkAudit = (folder: string, witnesses: readonly WitnessedHead[]): AuditCheck =>
  reading(folder, (db) => checkChain(auditRows(db), witnesses));

/** What this site holds of a partner's log, oldest first. */
export const headsHeld = (folder: string, org: string): readonly HeldHead[] =>
  reading(folder, (db) => headsOf(db, org));

/** CONFIG_INVALID where there is no store, or one of a version that kept no audit log. */
function reading<T>(folder: string, work: (db: Pick<Database, "all">) => T): T {
  const path = join(folder, "semrs.db");
  if (!existsSync(path)) throw new Fault("CONFIG_INVALID", `${folder} holds no store yet`);
  const db = new DatabaseSync(path, { readOnly: true });
  try {
    const tables = db.prepare("SELECT count(*) AS n FROM sqlite_schema WHERE name IN ('audit', 'witness')").get();
    if (Number(tables?.n) < 2) throw new Fault("CONFIG_INVALID", `${path} has no audit log yet; start the site once`);
    return work({ all: (sql, ...params) => db.prepare(sql).all(...params) });
  } finally {
    db.close();
  }
}
