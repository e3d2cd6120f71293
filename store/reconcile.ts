/**
 * Reconciliation: what was accepted against what became of it. Accepted are all arrivals and all records of other houses;
 * each has exactly one fate, found by following it to its documents, records and deliveries. Goes through every row, so that a
 * large index is reconciled in a thread of its own (`reconcile-worker.ts`).
 */
import { DatabaseSync } from "node:sqlite";
import { setTimeout } from "node:timers/promises";
import { type Head, walkOn } from "./accept-journal.ts";

/**
 * In the order in which the parts of one arrival decide: it is held where any part of it is. `lost`: a row that it should
 * lead to is not there, or is in a state that nobody knows.
 */
export const fates = ["filtered", "discarded", "delivered", "refused", "queued", "parked", "held", "lost"] as const;
export type Fate = (typeof fates)[number];

/** accepted = the sum of all fates but `lost`; `channel` is empty for what no channel took. */
export type ChannelSum = { readonly channel: string; readonly accepted: number } & Readonly<Record<Fate, number>>;

export type ReconcileRequest = {
  readonly database: string;
  readonly journal: string;
  /** Acceptances behind this place are looked up in the index. */
  readonly from: Head;
  /** Channels whose arrivals become documents or instances. */
  readonly outbound: readonly string[];
};
export type Reconciliation = {
  readonly channels: readonly ChannelSum[];
  /** Acceptances behind `from` that the index has, or has lost. */
  readonly acknowledged: number;
  /** Those that the index has lost: later ones are in it. */
  readonly missing: readonly string[];
  /** The last ones, which the index does not have after a while: lost, or their commit takes long. Told again next time. */
  readonly late: readonly string[];
  /** Behind what has been counted. */
  readonly head: Head;
};

const rank = (fate: Fate): number => fates.indexOf(fate);

const deliveryFate = `CASE delivery.state
  WHEN 'discarded' THEN ${rank("discarded")} WHEN 'delivered' THEN ${rank("delivered")} WHEN 'parked' THEN ${rank("parked")}
  WHEN 'queued' THEN ${rank("queued")} WHEN 'inflight' THEN ${rank("queued")} WHEN 'ambiguous' THEN ${rank("queued")}
  ELSE ${rank("lost")} END`;

/** What its deliveries say of a record; null where it has none. Proofs and questions are not what carries it on. */
const recordFate = (id: string): string => `(SELECT max(${deliveryFate}) FROM delivery WHERE delivery.record = ${id}
  AND kind NOT IN ('receipt', 'fetch', 'retrieve'))`;

/** Found in an index alone: a record's row is kilobytes long. */
const isKept = `EXISTS (SELECT 1 FROM record INDEXED BY record_state
  WHERE state IN ('stored', 'registered', 'opened', 'delivered') AND id = item.record)`;

/** An own record goes to somebody, unless its channel runs in the shadow. */
const itemFate = `CASE item.state
  WHEN 'discarded' THEN ${rank("discarded")} WHEN 'waiting' THEN ${rank("queued")} WHEN 'held' THEN ${rank("held")}
  WHEN 'sealed' THEN CASE WHEN ${isKept} THEN coalesce(${recordFate("item.record")},
    (SELECT ${rank("delivered")} FROM record WHERE id = item.record AND code IN ('SHADOW', 'CANCELLED')), ${rank("lost")})
    ELSE ${rank("lost")} END
  ELSE ${rank("lost")} END`;

/** What an outbound channel has taken has a document or an instance; an admission or a cancellation has none. */
const arrivalFate = `CASE arrival.state
  WHEN 'filtered' THEN ${rank("filtered")} WHEN 'refused' THEN ${rank("refused")} WHEN 'accepted' THEN ${rank("queued")}
  WHEN 'done' THEN coalesce(
    (SELECT max(${itemFate}) FROM item WHERE item.arrival = arrival.id),
    CASE WHEN arrival.channel IN (SELECT value FROM json_each(?1)) THEN ${rank("lost")} ELSE ${rank("delivered")} END)
  ELSE ${rank("lost")} END`;

const sumsSql = `
  SELECT channel, fate, count(*) AS n FROM (
    SELECT coalesce(arrival.channel, '') AS channel, ${arrivalFate} AS fate FROM arrival
    UNION ALL
    SELECT record.channel, coalesce(${recordFate("record.id")}, ${rank("delivered")}) FROM record WHERE record.origin = 'received')
  GROUP BY channel, fate ORDER BY channel`;

/** How long the last group's commit is waited for: journal and index are written at the same time. */
const lateMs = 2_000;
const lookMs = 50;

/** One pass. STORE_DAMAGED where the accept journal's chain does not hold; AbortError when the signal says so. */
export async function reconcile(
  { database, journal, from, outbound }: ReconcileRequest,
  signal?: AbortSignal,
): Promise<Reconciliation> {
  const db = new DatabaseSync(database, { readOnly: true });
  try {
    db.exec("PRAGMA busy_timeout = 5000");
    const first = lookUp(db, journal, from);
    let found = first;
    for (const end = Date.now() + lateMs; found.late.length > 0 && Date.now() < end; ) {
      await setTimeout(lookMs, undefined, signal ? { signal } : {});
      const again = lookUp(db, journal, from);
      // Those that are under way now and were not then are not late: the next pass looks them up.
      found = { ...again, late: again.late.filter((id) => first.late.includes(id)) };
    }
    return { ...found, channels: sumsOf(db, outbound) };
  } finally {
    db.close();
  }
}

/** Each acceptance in the index. The last ones may not be committed yet; what is before a committed one is lost. */
function lookUp(db: DatabaseSync, journal: string, from: Head): Omit<Reconciliation, "channels"> {
  const known = db.prepare("SELECT 1 FROM arrival WHERE id = ?");
  const missing: string[] = [];
  let [acknowledged, head] = [0, from];
  let unknown: string[] = [];
  for (const next of walkOn(journal, from)) {
    if (known.get(next.accepted.id) === undefined) {
      unknown.push(next.accepted.id);
      continue;
    }
    acknowledged += unknown.length + 1;
    missing.push(...unknown);
    unknown = [];
    ({ head } = next);
  }
  // One whose group was committed between its turn and that of the next one is there now.
  return { acknowledged, missing: missing.filter((id) => known.get(id) === undefined), late: unknown, head };
}

/** Fates by channel, of what the index has. */
export function sumsOf(db: Pick<DatabaseSync, "prepare">, outbound: readonly string[]): readonly ChannelSum[] {
  const sums = new Map<string, Record<Fate, number>>();
  for (const row of db.prepare(sumsSql).all(JSON.stringify(outbound))) {
    const channel = String(row.channel);
    const sum = sums.get(channel) ?? none();
    sum[fates[Number(row.fate)] ?? "lost"] += Number(row.n);
    sums.set(channel, sum);
  }
  return [...sums].map(([channel, sum]) => totalled(channel, sum));
}

/** Nothing of any fate. */
export const none = (): Record<Fate, number> =>
  Object.fromEntries(fates.map((fate) => [fate, 0])) as Record<Fate, number>;

/** A channel's line from its fates. */
export const totalled = (channel: string, sum: Readonly<Record<Fate, number>>): ChannelSum => ({
  ...sum,
  channel,
  accepted: fates.reduce((total, fate) => total + sum[fate], 0),
});
