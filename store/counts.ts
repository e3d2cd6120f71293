/** How many rows there are in each state. A large index is counted in a thread of its own (`counts-worker.ts`): a million rows take 60 ms. */
import { statSync } from "node:fs";
import { beside } from "./beside.ts";
import type { Database } from "./sqlite.ts";

const tables = { arrivals: "arrival", items: "item", records: "record", deliveries: "delivery" } as const;
/** By state, of each of these. */
export type Counts = Readonly<Record<keyof typeof tables, Readonly<Record<string, number>>>>;

/** Up to this many octets of index some 100,000 rows are counted where they are asked for. */
const maxInPlace = 256 * 1024 * 1024;

/** Counts that include every commit which had resolved when they were asked for; who asks while one is under way shares the next. */
export function openCounts(db: Pick<Database, "all">, database: string, max = maxInPlace): () => Promise<Counts> {
  let running: Promise<unknown> = Promise.resolve();
  let next: Promise<Counts> | undefined;
  const pass = async (): Promise<Counts> => {
    next = undefined;
    if (statSync(database).size <= max) return countRows((sql) => db.all(sql));
    return await beside<string, Counts>("./counts-worker.ts", database, "counting");
  };
  return () => {
    next ??= running.then(pass, pass);
    running = next;
    return next;
  };
}

type Rows = readonly Readonly<Record<string, unknown>>[];

export const countRows = (all: (sql: string) => Rows): Counts =>
  Object.fromEntries(
    Object.entries(tables).map(([name, table]) => {
      const rows = all(`SELECT state, count(*) AS n FROM ${table} GROUP BY state`);
      return [name, Object.fromEntries(rows.map(({ state, n }) => [String(state), Number(n)]))];
    }),
  ) as Counts;
