/**
 * The chain of the audit log: entry n stands for all before it, chain n = SHA-256(chain n−1 ‖ octets of entry n). Entry 0 is
 * empty and its chain is 32 zeros. What names a patient is ciphertext in the entry: a key that is erased breaks no chain.
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
  /** Heads of others that this log has as they hold them. */
  readonly witnessed: number;
  readonly broken: AuditBreak | null;
};

const start = new Uint8Array(32);

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
export function checkChain(rows: Iterable<AuditRow>, witnesses: readonly WitnessedHead[] = []): AuditCheck {
  const following = followChain(rows, witnesses);
  for (;;) {
    const next = following.next();
    if (next.done) return next.value;
  }
}

/**
 * Walks the rows from 0 on: no number is missing, each chain follows from the one before, each witness holds what is here. Pauses
 * now and then, for a site that runs to go on with its work.
 */
export function* followChain(
  rows: Iterable<AuditRow>,
  witnesses: readonly WitnessedHead[] = [],
): Generator<void, AuditCheck> {
  const held = Map.groupBy(witnesses, ({ seq }) => seq);
  let chain: Uint8Array = start;
  let seq = -1;
  let witnessed = 0;
  const result = (broken: AuditBreak | null): AuditCheck => {
    const head = { seq: Math.max(seq, 0), head: Buffer.from(chain).toString("hex") };
    return { entries: head.seq, head, witnessed, broken };
  };
  for (const row of rows) {
    if (row.seq !== seq + 1) return result({ seq: seq + 1, reason: "is missing" });
    const expected = row.seq === 0 ? start : chained(chain, row.body);
    if (Buffer.compare(row.chain, expected) !== 0)
      return result({ seq: row.seq, reason: "does not follow from the entry before it" });
    const hex = Buffer.from(expected).toString("hex");
    for (const { head, by } of held.get(row.seq) ?? []) {
      if (head !== hex)
        return result({ seq: row.seq, reason: `or an entry before it was rewritten: ${by} holds another head` });
      witnessed += 1;
    }
    [seq, chain] = [row.seq, expected];
    if (seq % pauseRows === pauseRows - 1) yield;
  }
  if (seq < 0) return result({ seq: 0, reason: "is missing" });
  const beyond = witnesses.filter((each) => each.seq > seq).toSorted((one, other) => one.seq - other.seq)[0];
  if (beyond) return result({ seq: seq + 1, reason: `was cut off: ${beyond.by} holds a head of entry ${beyond.seq}` });
  return result(null);
}
