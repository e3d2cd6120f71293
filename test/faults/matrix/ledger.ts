/** Count in, count out: what was acknowledged at one end against what arrived at the other, by digest. */
import { readFileSync } from "node:fs";

/** One line of a receiver's ledger. */
export type Arrived = { readonly id: string; readonly sha256: string };

export type Ledger = {
  /** SHA-256 of everything that was sent at least once, answered or not. */
  readonly sent: ReadonlySet<string>;
  /** SHA-256 of what was answered positively, by MSH-10 or SOP Instance UID. */
  readonly acknowledged: ReadonlyMap<string, string>;
};

export type Counted = {
  readonly acknowledged: number;
  /** Acknowledged, and not arrived. */
  readonly lost: number;
  /** Arrived, and never sent so. */
  readonly corrupt: number;
  /** Arrived once more. */
  readonly duplicates: number;
};

/** Ledgers of a sending and of a receiving end, counted against each other. */
export function reconcile(ledgers: readonly Ledger[], arrived: readonly Arrived[]): Counted {
  const digests = new Set(arrived.map(({ sha256 }) => sha256));
  const acknowledged = ledgers.flatMap((ledger) => [...ledger.acknowledged.values()]);
  return {
    acknowledged: acknowledged.length,
    lost: acknowledged.filter((sha256) => !digests.has(sha256)).length,
    corrupt: arrived.filter(({ sha256 }) => !ledgers.some(({ sent }) => sent.has(sha256))).length,
    duplicates: arrived.length - digests.size,
  };
}

/** What a receiver has written down so far; a line that is not whole yet is not there yet. */
export function readLedger(file: string): readonly Arrived[] {
  return readFileSync(file, "utf8")
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Arrived);
}
