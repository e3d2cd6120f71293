/**
 * Questions that go through many rows. A large index is asked in a thread of its own (`scans-worker.ts`): a million rows take 60 to
 * 500 ms, for which every message would wait.
 */
import { statSync } from "node:fs";
import type { SQLInputValue } from "node:sqlite";
import { beside } from "./beside.ts";
import { text } from "./rows.ts";
import type { Row } from "./sqlite.ts";
import type { Id } from "./store.ts";

const tables = { arrivals: "arrival", items: "item", records: "record", deliveries: "delivery" } as const;
/** Rows by state, of each of these. */
export type Counts = Readonly<Record<keyof typeof tables, Readonly<Record<string, number>>>>;
/** Where an id, or the end of one, was found. */
export type Found = { readonly kind: (typeof named)[number]; readonly id: Id };
/** The oldest delivery to a destination that is due, milliseconds since 1970, and how many there are. */
export type Queue = { readonly destination: string; readonly since: number; readonly count: number };

/** What has ids that people are shown. */
const named = ["arrival", "item", "record", "delivery"] as const;
const maxFound = 20;

/** Where the index can be asked. */
type Asked = { all(sql: string, ...params: SQLInputValue[]): readonly Row[] };

const found = ({ all }: Asked, kind: Found["kind"], where: string, value: string): readonly Found[] =>
  all(`SELECT id FROM ${kind} WHERE ${where} ORDER BY id DESC LIMIT ${maxFound}`, value).map((row) => {
    return { kind, id: text(row, "id") };
  });

export const scans = {
  counts: ({ all }: Asked): Counts =>
    Object.fromEntries(
      Object.entries(tables).map(([name, table]) => {
        const rows = all(`SELECT state, count(*) AS n FROM ${table} GROUP BY state`);
        return [name, Object.fromEntries(rows.map((row) => [text(row, "state"), Number(row.n)]))];
      }),
    ) as Counts,
  /** Those that begin later are not waiting; what has not failed yet, or since a person released it, waits since it was due. */
  queues: ({ all }: Asked, now: number): readonly Queue[] =>
    all(
      `SELECT destination, count(*) AS n,
         min(max(unixepoch(created_at, 'subsec') * 1000, iif(code IS NULL, due, 0))) AS since FROM delivery
       WHERE state IN ('queued', 'inflight', 'ambiguous') AND (attempts > 0 OR due <= ?) GROUP BY destination`,
      now,
    ).map((row) => {
      return { destination: text(row, "destination"), since: Math.round(Number(row.since)), count: Number(row.n) };
    }),
  /** No index is in the order of what ids end with. */
  endings: (asked: Asked, digits: string): readonly Found[] =>
    named.flatMap((kind) => found(asked, kind, "id LIKE '%' || ?", digits)),
} as const;

export type ScanRequest = {
  readonly database: string;
  readonly name: keyof typeof scans;
  /** Of queues the time, of endings the digits. */
  readonly value: number | string;
};

export type Scans = {
  /** They include every commit which had resolved when they were asked for; who asks while one is under way shares the next. */
  counts(): Promise<Counts>;
  /** The same for who looks again and again: of a large index, what was counted last, which is counted anew beside it once that has rested. */
  recentCounts(): Promise<Counts>;
  queues(now: number): Promise<readonly Queue[]>;
  /** Arrivals by control id; anything by its id or the last digits of it. */
  find(query: string): Promise<readonly Found[]>;
};

/** Up to this many octets of index some 100,000 rows are looked at where they are asked for. */
const maxInPlace = 256 * 1024 * 1024;
/** To count a year's rows takes seconds: it rests this many times as long as it took, and takes no more than a twentieth of one core. */
const rest = 20;

/** `steady` is a clock that nobody can set. */
export function openScans(db: Asked, database: string, max = maxInPlace, steady = () => performance.now()): Scans {
  const isLarge = (): boolean => statSync(database).size > max;
  const inThread = <Answer>(name: ScanRequest["name"], value: ScanRequest["value"] = 0): Promise<Answer> =>
    beside<ScanRequest, Answer>("./scans-worker.ts", { database, name, value }, name);
  let running: Promise<unknown> = Promise.resolve();
  let next: Promise<Counts> | undefined;
  const count = async (): Promise<Counts> => {
    next = undefined;
    return isLarge() ? await inThread("counts") : scans.counts(db);
  };
  const counts = (): Promise<Counts> => {
    next ??= running.then(count, count);
    running = next;
    return next;
  };
  let last: { readonly counts: Counts; readonly until: number } | undefined;
  let counting: Promise<Counts> | undefined;
  const countAnew = async (): Promise<Counts> => {
    const started = steady();
    const counted = await counts();
    last = { counts: counted, until: steady() + rest * (steady() - started) };
    return counted;
  };
  return {
    counts,
    recentCounts: async () => {
      if (!isLarge()) return await counts();
      if (last && steady() < last.until) return last.counts;
      counting ??= countAnew().finally(() => (counting = undefined));
      if (!last) return await counting;
      counting.catch(() => undefined);
      return last.counts;
    },
    queues: async (now) => (isLarge() ? await inThread("queues", now) : scans.queues(db, now)),
    find: async (query) => {
      if (/^[0-9a-f]{32}$/.test(query)) return named.flatMap((kind) => found(db, kind, "id = ?", query));
      const arrivals = found(db, "arrival", "control_id = ?", query);
      if (arrivals.length > 0 || !/^[0-9a-f]{4,31}$/.test(query)) return arrivals;
      return isLarge() ? await inThread("endings", query) : scans.endings(db, query);
    },
  };
}
