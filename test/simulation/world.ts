/** A world for one schedule: a clock that jumps from event to event, a disk, and crashes at any touch of disk or network. */
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { chainsAudit } from "../../store/audit-chain.ts";
import type { Clock } from "../../store/clock.ts";
import { migrations } from "../../store/schema.ts";
import { type Chance, chanceOf } from "../seeded.ts";
import { openSimulatedFile, type SimulatedFile } from "./disk.ts";

export type World = {
  readonly seed: number;
  readonly chance: Chance;
  readonly file: SimulatedFile;
  readonly db: DatabaseSync;
  statement(sql: string): StatementSync;
  now(): number;
  /** Runs after so many milliseconds, whoever lives then. */
  after(ms: number, work: () => void): () => void;
  /** Ends the life that is running, if it is this one; `last` is what the disk still does. */
  crash(kind: "kill" | "power", last?: () => unknown): void;
  /** Starts a life: what it is given works until its crash. */
  live(): Life;
  /** Called at every crash, before anything else happens. */
  onCrash(work: () => void): void;
  /** Lets events happen until none is left; throws when it does not come to rest, or when `fail` was called. */
  run(): Promise<void>;
  /** An invariant does not hold. */
  fail(what: string): void;
  /** What happened, for a person who replays a seed. */
  tell(what: string): void;
  readonly told: readonly string[];
};

export type Life = {
  readonly clock: Clock;
  /** Throws when this life is over, and ends it when its time has come; `last` is what the disk still does: with a commit. */
  touch(last?: () => unknown): void;
  isOver(): boolean;
};

const maxEvents = 20_000;
const startMs = Date.parse("2026-01-01T00:00:00Z");
const never = Number.POSITIVE_INFINITY;
const over = new Error("the process is dead");

/** One database for all schedules of a file: its tables are emptied, since making them takes longer than most schedules. */
const db = new DatabaseSync(":memory:");
chainsAudit(db);
for (const sql of migrations) db.exec(sql);
const tables = db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'").all();
const prepared = new Map<string, StatementSync>();

/** `crashes`: how many lives end before their work is done. */
export function openWorld(seed: number): World {
  const chance = chanceOf(seed);
  if (db.isTransaction) db.exec("ROLLBACK");
  for (const { name } of tables) db.exec(`DELETE FROM ${String(name)}`);
  db.exec("INSERT INTO audit (seq, body, chain) VALUES (0, '', zeroblob(32))");
  let now = startMs;
  let events: { readonly at: number; readonly work: () => void }[] = [];
  let [life, countdown, commits] = [0, never, never];
  let crashesLeft = 1 + chance(4);
  let failure: Error | undefined;
  /** Soon, late, or at a commit, which is where index and journal may differ: in touches and commits. */
  const endOf = (): [number, number] =>
    [
      [1 + chance(60), never],
      [1 + chance(600), never],
      [never, 1 + chance(25)],
    ][chance(3)] as [number, number];
  const atCrash: (() => void)[] = [];
  const told: string[] = [];

  const world: World = {
    seed,
    chance,
    file: openSimulatedFile(chance),
    db,
    told,
    statement: (sql) => {
      const known = prepared.get(sql) ?? db.prepare(sql);
      prepared.set(sql, known);
      return known;
    },
    now: () => now,
    after: (ms, work) => {
      const event = { at: now + Math.max(0, ms), work };
      events.push(event);
      return () => {
        events = events.filter((each) => each !== event);
      };
    },
    crash: (kind, last) => {
      life += 1;
      last?.();
      if (db.isTransaction) db.exec("ROLLBACK");
      world.file.crash(kind);
      world.tell(`crash by ${kind}`);
      for (const work of atCrash) work();
    },
    live: () => {
      life += 1;
      const mine = life;
      [countdown, commits] = crashesLeft > 0 ? endOf() : [never, never];
      crashesLeft -= 1;
      const isOver = (): boolean => mine !== life;
      const guarded = (work: () => void) => (): void => {
        if (!isOver()) work();
      };
      return {
        isOver,
        touch: (last) => {
          if (isOver()) throw over;
          countdown -= 1;
          if (last) commits -= 1;
          if (countdown > 0 && commits > 0) return;
          world.crash(chance(2) === 0 ? "kill" : "power", last);
          throw over;
        },
        clock: {
          now: () => now,
          steady: () => now,
          after: (ms, work) => world.after(ms, guarded(work)),
          soon: (work) => void world.after(0, guarded(work)),
          random: () => chance(1000) / 1000,
        },
      };
    },
    onCrash: (work) => void atCrash.push(work),
    run: async () => {
      for (let count = 0; events.length > 0; count += 1) {
        if (count > maxEvents) world.fail(`does not come to rest in ${maxEvents} events`);
        // Of those that are due at the same moment any may be first.
        const at = events.reduce((least, event) => Math.min(least, event.at), Number.POSITIVE_INFINITY);
        const due = events.filter((event) => event.at === at);
        const next = due[chance(due.length)];
        events = events.filter((event) => event !== next);
        now = at;
        try {
          next?.work();
        } catch (thrown) {
          if (thrown !== over) throw thrown;
        }
        // Everything awaits simulated things only: when the loop turns, all that could go on has gone on.
        await new Promise((resolve) => setImmediate(resolve));
        if (failure) throw failure;
      }
    },
    fail: (what) => {
      failure ??= new Error(what);
    },
    tell: (what) => void told.push(`${now - startMs} ms: ${what}`),
  };
  return world;
}
