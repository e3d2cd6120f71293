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

/** What this site has signed to a house to have of it. */
export type GivenReceipt = {
  readonly to: string;
  readonly message: string;
  /** Of the request. */
  readonly manifestSha256: string;
  /** Manifests of records. */
  readonly names: readonly string[];
};

/** Messages of a house whose receipt this site has given and does not know any more. */
export const forgotten = (folder: string, receipts: readonly GivenReceipt[]): readonly GivenReceipt[] =>
  reading(folder, (db) =>
    receipts.filter(
      ({ to, message }) => db.all("SELECT 1 FROM message WHERE org = ? AND message = ?", to, message).length === 0,
    ),
  );

const registeredSql = `
  SELECT body ->> 'manifest' AS manifest FROM (SELECT iif(json_valid(body), body, '{}') AS body FROM audit)
  WHERE body ->> 'event' = 'registration' AND body ->> 'outcome' = 'done' AND body ->> 'manifest' IN (SELECT value FROM json_each(?))`;
/** Of these manifests those in no entry of a house; one that it has sealed anew since is the subject of that change (decision 43). */
const unlistedSql = `
  SELECT value FROM json_each(?1) WHERE value NOT IN (
    SELECT manifest_sha256 FROM entry WHERE org = ?2 AND manifest_sha256 IN (SELECT value FROM json_each(?1))
    UNION ALL SELECT body ->> 'subject' FROM (SELECT iif(json_valid(body), body, '{}') AS body FROM audit)
      WHERE body ->> 'event' = 'amendment' AND body ->> 'peer' = ?2 AND body ->> 'subject' IS NOT NULL)`;

/** Manifests that a registry has signed to have registered, and that are in its index no more. */
export const unlisted = (
  folder: string,
  receipts: readonly GivenReceipt[],
): readonly { readonly to: string; readonly manifest: string }[] =>
  reading(folder, (db) => {
    // What else a receipt names is a change, or the record of a push.
    const asked = JSON.stringify(receipts.map(({ manifestSha256 }) => manifestSha256));
    const registered = new Set(db.all(registeredSql, asked).map(({ manifest }) => String(manifest)));
    const named = Map.groupBy(
      receipts.filter(({ manifestSha256 }) => registered.has(manifestSha256)),
      ({ to }) => to,
    );
    return [...named].flatMap(([to, given]) =>
      db
        .all(unlistedSql, JSON.stringify(given.flatMap(({ names }) => names)), to)
        .map(({ value }) => ({ to, manifest: String(value) })),
    );
  });

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
