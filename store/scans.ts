/**
 * Questions that go through many rows. A large index is asked in a thread of its own (`scans-worker.ts`): a million rows take 60 to
 * 500 ms, for which every message would wait.
 */
import { statSync } from "node:fs";
import type { SQLInputValue } from "node:sqlite";
import { beside } from "./beside.ts";
import { text } from "./rows.ts";
import type { Row } from "./sqlite.ts";

const tables = { arrivals: "arrival", items: "item", records: "record", deliveries: "delivery" } as const;
/** Rows by state, of each of these. */
export type Counts = Readonly<Record<keyof typeof tables, Readonly<Record<string, number>>>>;
/** The oldest delivery to a destination that is due, milliseconds since 1970. */
export type Queue = { readonly destination: string; readonly since: number };

/** Where the index can be asked. */
type Asked = { all(sql: string, ...params: SQLInputValue[]): readonly Row[] };

export const scans = {
  counts: ({ all }: Asked): Counts =>
    Object.fromEntries(
      Object.entries(tables).map(([name, table]) => {
        const rows = all(`SELECT state, count(*) AS n FROM ${table} GROUP BY state`);
        return [name, Object.fromEntries(rows.map((row) => [text(row, "state"), Number(row.n)]))];
      }),
    ) as Counts,
  /** Those that begin later are not waiting. */
  queues: ({ all }: Asked, now: number): readonly Queue[] =>
    all(
      `SELECT destination, min(created_at) AS since FROM delivery
       WHERE state IN ('queued', 'inflight', 'ambiguous') AND (attempts > 0 OR due <= ?) GROUP BY destination`,
      now,
    ).map((row) => ({ destination: text(row, "destination"), since: Date.parse(text(row, "since")) })),
} as const;

export type ScanRequest = { readonly database: string; readonly name: keyof typeof scans; readonly now: number };

export type Scans = {
  /** They include every commit which had resolved when they were asked for; who asks while one is under way shares the next. */
  counts(): Promise<Counts>;
  queues(now: number): Promise<readonly Queue[]>;
};

/** Up to this many octets of index some 100,000 rows are looked at where they are asked for. */
const maxInPlace = 256 * 1024 * 1024;

export function openScans(db: Asked, database: string, max = maxInPlace): Scans {
  const isLarge = (): boolean => statSync(database).size > max;
  const inThread = <Answer>(name: ScanRequest["name"], now = 0): Promise<Answer> =>
    beside<ScanRequest, Answer>("./scans-worker.ts", { database, name, now }, name);
  let running: Promise<unknown> = Promise.resolve();
  let next: Promise<Counts> | undefined;
  const count = async (): Promise<Counts> => {
    next = undefined;
    return isLarge() ? await inThread("counts") : scans.counts(db);
  };
  return {
    counts: () => {
      next ??= running.then(count, count);
      running = next;
      return next;
    },
    queues: async (now) => (isLarge() ? await inThread("queues", now) : scans.queues(db, now)),
  };
}
