/**
 * The chain of the audit log: entry n stands for all before it, chain n = SHA-256(chain n−1 ‖ octets of entry n). Entry 0 is
 * empty and its chain is 32 zeros. What names a patient is ciphertext in the entry: a key that is erased breaks no chain. Where the
 * beginning was pruned, an anchor stands for it, and the last entry of that says so (`anchorText`).
 */
import { createHash } from "node:crypto";
import type { DatabaseSync } from "node:sqlite";

/** Where a log stands: its last entry's number, and the chain there in hex; as manifests and receipts carry it. */
export type AuditHead = { readonly seq: number; readonly head: string };
export type AuditRow = { readonly seq: number; readonly body: string; readonly chain: Uint8Array };
/** A head of this log that somebody else holds. */
export type WitnessedHead = AuditHead & { readonly by: string };
/** `seq`: the first entry that does not hold. */
export type AuditBreak = { readonly seq: number; readonly reason: string };
export type AuditCheck = {
  readonly entries: number;
  readonly head: AuditHead;
  /** The last entry that was pruned; 0: none was. */
  readonly pruned: number;
  /** Heads of others that this log has as they hold them. */
  readonly witnessed: number;
  readonly broken: AuditBreak | null;
};

/** Where a log was pruned; `firstAt` and `lastAt` (ISO 8601) are left out where nobody is to have said so. */
export type PrunedTo = {
  readonly seq: number;
  readonly chain: Uint8Array;
  readonly firstAt?: string;
  readonly lastAt?: string;
};

const start = new Uint8Array(32);

/** What the entry says that was made with an anchor. */
export const anchorText = ({ seq, chain, firstAt, lastAt }: Required<PrunedTo>): string =>
  `entries 1 to ${seq}, ${firstAt} to ${lastAt}, head ${hexOf(chain)}`;
const hexOf = (chain: Uint8Array): string => Buffer.from(chain).toString("hex");

/** The chain at an entry, from that of the one before. */
export const chained = (before: Uint8Array, body: string): Uint8Array =>
  createHash("sha256").update(before).update(body).digest();

/** Teaches a connection that writes how entries are chained. */
export const chainsAudit = (db: DatabaseSync): void =>
  db.function("audit_chain", { deterministic: true, directOnly: true }, (before, body) =>
    chained(before as Uint8Array, String(body)),
  );

/** Rows between two of the pauses of `followChain`. */
const pauseRows = 1000;

/** All of `followChain` at once. */
export function checkChain(
  rows: Iterable<AuditRow>,
  witnesses: readonly WitnessedHead[] = [],
  anchor: PrunedTo | null = null,
): AuditCheck {
  const following = followChain(rows, witnesses, anchor);
  for (;;) {
    const next = following.next();
    if (next.done) return next.value;
  }
}

/**
 * Walks the rows from 0, or from the anchor, on: no number is missing, each chain follows from the one before, each witness holds
 * what is here. Rows that the anchor stands for are about to go. Pauses now and then, for a site that runs to go on with its work.
 */
export function* followChain(
  rows: Iterable<AuditRow>,
  witnesses: readonly WitnessedHead[] = [],
  anchor: PrunedTo | null = null,
): Generator<void, AuditCheck> {
  const held = Map.groupBy(witnesses, ({ seq }) => seq);
  let chain: Uint8Array = start;
  let seq = -1;
  let witnessed = 0;
  let told: string | undefined;
  const result = (broken: AuditBreak | null): AuditCheck => {
    const head = { seq: Math.max(seq, 0), head: hexOf(chain) };
    return { entries: head.seq, pruned: anchor?.seq ?? 0, head, witnessed, broken };
  };
  /** The first witness that holds another head of this entry. */
  const denied = (at: number, hex: string): AuditBreak | undefined => {
    for (const { head, by } of held.get(at) ?? []) {
      if (head !== hex) return { seq: at, reason: `or an entry before it was rewritten: ${by} holds another head` };
      witnessed += 1;
    }
    return undefined;
  };
  for (const row of rows) {
    if (anchor && row.seq > 0 && row.seq <= anchor.seq) continue;
    if (anchor && seq === 0) {
      [seq, chain] = [anchor.seq, anchor.chain];
      const other = denied(seq, hexOf(chain));
      if (other) return result(other);
    }
    if (row.seq !== seq + 1) return result({ seq: seq + 1, reason: "is missing" });
    const expected = row.seq === 0 ? start : chained(chain, row.body);
    if (Buffer.compare(row.chain, expected) !== 0)
      return result({ seq: row.seq, reason: "does not follow from the entry before it" });
    const other = denied(row.seq, hexOf(expected));
    if (other) return result(other);
    [seq, chain] = [row.seq, expected];
    if (row.body.includes(prunes)) told = reasonIn(row.body);
    if (seq % pauseRows === pauseRows - 1) yield;
  }
  if (seq < 0) return result({ seq: 0, reason: "is missing" });
  if (anchor?.firstAt !== undefined && anchor.lastAt !== undefined) {
    const says = anchorText({ ...anchor, firstAt: anchor.firstAt, lastAt: anchor.lastAt });
    if (told !== says)
      return result({
        seq: anchor.seq,
        reason: "is the last that was pruned, says its anchor, and no entry says the same",
      });
  }
  const beyond = witnesses.filter((each) => each.seq > seq).toSorted((one, other) => one.seq - other.seq)[0];
  if (beyond) return result({ seq: seq + 1, reason: `was cut off: ${beyond.by} holds a head of entry ${beyond.seq}` });
  return result(null);
}

/** How the body of an entry begins that says that the log was pruned. */
const prunes = '"event":"prune"';
const reasonIn = (body: string): string | undefined => (JSON.parse(body) as { readonly reason?: string }).reason;
