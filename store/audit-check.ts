/** The audit log in a data folder, looked at without the site's key and beside a site that runs. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Fault } from "../errors.ts";
import { type AuditAnchor, anchorOf } from "./audit-anchor.ts";
import { type AuditCheck, checkChain, type WitnessedHead } from "./audit-chain.ts";
import { auditRows } from "./audit-log.ts";
import { type SignedHead, signedHeadsAfter } from "./signed-heads.ts";
import type { Database } from "./sqlite.ts";
import { type HeldHead, headsOf } from "./witnesses.ts";

/** The whole chain, beside the heads that others hold of it. */
export const checkAudit = (folder: string, witnesses: readonly WitnessedHead[]): AuditCheck =>
  reading(folder, (db) => checkChain(auditRows(db), witnesses, anchorOf(db)));

/** Where its beginning was pruned. */
export const anchorHeld = (folder: string): AuditAnchor | null => reading(folder, anchorOf);

/** Checkpoints that the site has signed, oldest first. */
export const checkpointsHeld = (folder: string, after = -1): readonly SignedHead[] =>
  reading(folder, (db) => signedHeadsAfter(db, after));

/** What the log tells of: entries by event and outcome. */
export const tallyOf = (
  folder: string,
): readonly { readonly event: string; readonly outcome: string; readonly count: number }[] =>
  reading(folder, (db) =>
    db
      .all(
        `SELECT body ->> 'event' AS event, body ->> 'outcome' AS outcome, count(*) AS n
         FROM (SELECT iif(json_valid(body), body, '{}') AS body FROM audit) GROUP BY 1, 2`,
      )
      .map(({ event, outcome, n }) => ({ event: String(event), outcome: String(outcome), count: Number(n) })),
  );

/** Messages of a house whose receipt this site has given and does not know any more. */
export const forgotten = (
  folder: string,
  receipts: readonly { readonly to: string; readonly message: string }[],
): readonly { readonly to: string; readonly message: string }[] =>
  reading(folder, (db) =>
    receipts.filter(
      ({ to, message }) => db.all("SELECT 1 FROM message WHERE org = ? AND message = ?", to, message).length === 0,
    ),
  );

/** What an entry tells of, as far as no key is needed. */
export const entryOf = (
  folder: string,
  seq: number,
): { readonly event: string; readonly peer: string; readonly at: string } | undefined =>
  reading(folder, (db) => {
    const [row] = db.all(
      `SELECT body ->> 'event' AS event, body ->> 'peer' AS peer, body ->> 'at' AS at
       FROM (SELECT iif(json_valid(body), body, '{}') AS body FROM audit WHERE seq = ?)`,
      seq,
    );
    if (!row?.event) return undefined;
    return { event: String(row.event), peer: String(row.peer ?? "-"), at: String(row.at) };
  });

/** What this site holds of a partner's log, oldest first. */
export const headsHeld = (folder: string, org: string): readonly HeldHead[] =>
  reading(folder, (db) => headsOf(db, org));

/** CONFIG_INVALID where there is no store, or one of a version that kept no audit log. */
function reading<T>(folder: string, work: (db: Pick<Database, "all">) => T): T {
  const path = join(folder, "semrs.db");
  if (!existsSync(path)) throw new Fault("CONFIG_INVALID", `${folder} holds no store yet`);
  const db = new DatabaseSync(path, { readOnly: true });
  try {
    const tables = db
      .prepare(
        "SELECT count(*) AS n FROM sqlite_schema WHERE name IN ('audit', 'witness', 'signed_head', 'audit_anchor')",
      )
      .get();
    if (Number(tables?.n) < 4) throw new Fault("CONFIG_INVALID", `${path} has no audit log yet; start the site once`);
    return work({ all: (sql, ...params) => db.prepare(sql).all(...params) });
  } finally {
    db.close();
  }
}
