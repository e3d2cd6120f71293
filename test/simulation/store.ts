/** The store of one life over a simulated disk: the product's tables, group commit, accept journal and recovery. */
import { recoverJournal } from "../../store/accept-journal.ts";
import { openAppender } from "../../store/appender.ts";
import { afterCrash } from "../../store/deliveries.ts";
import { type Commit, type Committed, nextGroup, openGroupCommit } from "../../store/group-commit.ts";
import { openTables } from "../../store/index.ts";
import { storageKeys } from "../../store/keys.ts";
import { idSource } from "../../store/rows.ts";
import { checkpointOf, type Database, faultOf, type Statement } from "../../store/sqlite.ts";
import type { Acceptance, Change, Store } from "../../store/store.ts";
import type { Life, World } from "./world.ts";

const keys = storageKeys(Buffer.alloc(32, 7));

export type SimulatedStore = {
  readonly store: Store;
  /** The next commits find the disk full, until they have been refused so often. */
  fill(times: number): void;
  /** A stop in good order. */
  close(): void;
};

/** `committed` is called after each transaction of the index, `broken` when the store can write no more. */
export async function openSimulatedStore(
  world: World,
  life: Life,
  committed: () => void,
  broken: () => void,
): Promise<SimulatedStore> {
  const { chance, db, statement } = world;
  const now = (): Date => new Date(world.now());
  let fullTimes = 0;
  const touch = (): void => life.touch();
  const full = (): never => {
    fullTimes -= 1;
    throw Object.assign(new Error("database or disk is full"), { errcode: 13 });
  };
  const index = {
    exec: (sql: string): void => {
      // A crash in the middle of a commit leaves all of it or nothing: SQLite's part, which kills and power cuts test.
      if (sql === "COMMIT") life.touch(() => chance(2) === 0 && db.exec(sql));
      else touch();
      if (sql === "COMMIT" && fullTimes > 0 && chance(2) === 0) full();
      db.exec(sql);
      if (sql === "COMMIT") committed();
    },
    run: ({ sql, params }: Statement): void => {
      touch();
      if (fullTimes > 0) full();
      statement(sql).run(...params);
    },
  };

  const waiting = new Map<number, { resolve(): void; reject(thrown: unknown): void }>();
  let [queue, isBusy, n]: [readonly Commit[], boolean, number] = [[], false, 0];
  let write: (group: readonly Commit[]) => Promise<readonly Committed[]>;
  const commit = (changes: readonly Change[], accepted: readonly Acceptance[] = []): Promise<void> => {
    touch();
    n += 1;
    queue = [...queue, { n, statements: changes as unknown as readonly Statement[], accepted }];
    if (!isBusy) life.clock.after(chance(3), () => void writeAll());
    isBusy = true;
    return new Promise((resolve, reject) => waiting.set(n, { resolve, reject }));
  };
  const writeAll = async (): Promise<void> => {
    const { group, rest } = nextGroup(queue);
    queue = rest;
    const results = await write(group);
    if (life.isOver()) return;
    life.clock.after(chance(3), () => {
      for (const { n: number, error } of results) {
        const { resolve, reject } = waiting.get(number) ?? {};
        waiting.delete(number);
        if (error) reject?.(faultOf(error));
        else resolve?.();
      }
      if (results.some(({ error }) => error?.kind === "damaged")) return broken();
      isBusy = queue.length > 0;
      if (isBusy) void writeAll();
    });
  };

  const database: Database = {
    fail: () => undefined,
    all: (sql, ...params) => statement(sql).all(...params),
    get: (sql, ...params) => statement(sql).get(...params),
    reading: (read) => read(),
    commit,
    version: () => Number.NaN,
    failed: new Promise(() => undefined),
    checkpoint: checkpointOf({ prepare: statement }),
    begin: () => undefined,
    close: async () => undefined,
  };
  const tables = openTables(database, keys, now);
  const file = world.file.open(touch, (work) => void life.clock.after(chance(20), work));
  const isKept = (id: string): boolean => tables.arrivals.find(id) !== undefined;
  const { missing, owed, head } = recoverJournal(file, file.name, database.checkpoint, isKept);
  const appender = openAppender(file, head, life.clock, { ahead: 8_192, group: 2_048 });
  const groups = openGroupCommit(index, appender, owed);
  write = groups.write;
  await commit([afterCrash]);
  const newId = idSource(now, (octets) => Buffer.from(Array.from({ length: octets }, () => chance(256))));
  return {
    store: { ...tables, commit, newId, missing } as unknown as Store,
    fill: (times) => {
      fullTimes = times;
    },
    close: () => void groups.close(),
  };
}
