/**
 * Group commit: what waits goes into one transaction of the index and one group of the accept journal, synced at the same
 * time; each caller is told for itself (decision 10). Over an index and a journal that are given.
 */
import { maxGroup } from "./accept-journal.ts";
import type { Appender } from "./appender.ts";
import { isFull } from "./disk-errors.ts";
import type { Statement } from "./sqlite.ts";
import type { Acceptance } from "./store.ts";

export type Commit = {
  readonly n: number;
  readonly statements: readonly Statement[];
  readonly accepted: readonly Acceptance[];
};
/** `error` is undefined for a commit that is durable. */
export type Committed = {
  readonly n: number;
  readonly error?: { readonly kind: "conflict" | "full" | "damaged"; readonly message: string };
};
/** The connection that writes. `exec("COMMIT")` returns when the transaction is on stable storage. */
export type Index = { exec(sql: string): void; run(statement: Statement): void };

export type GroupCommit = {
  /** Resolves, never rejects, when all of the group is durable, or with why some or all of it is not. */
  write(group: readonly Commit[]): Promise<readonly Committed[]>;
  /** Confirms what was accepted; false where a write failed before, after which nothing is written. */
  close(): boolean;
};

/** As many as the accept journal takes at once, and the rest. */
export function nextGroup(waiting: readonly Commit[]): {
  readonly group: readonly Commit[];
  readonly rest: readonly Commit[];
} {
  let accepted = 0;
  const end = waiting.findIndex((commit, n) => {
    accepted += commit.accepted.length;
    return n > 0 && accepted > maxGroup;
  });
  return end < 0 ? { group: waiting, rest: [] } : { group: waiting.slice(0, end), rest: waiting.slice(end) };
}

const checkpoint =
  "INSERT INTO meta (name, value) VALUES ('journal', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value";

/**
 * After a write or a sync that failed, everything is refused: only a new process may try again. `owed` is added to the
 * journal with the first group.
 */
export function openGroupCommit(index: Index, accepting: Appender, owed: readonly Acceptance[]): GroupCommit {
  let isDamaged = false;
  let still = owed;

  /** Index and accept journal are written, then synced at the same time; neither of them alone is an answer. */
  const write = async (group: readonly Commit[]): Promise<readonly Committed[]> => {
    let results: readonly Committed[] = [];
    let synced: Promise<void> | undefined;
    try {
      if (still.length > 0 || group.some(({ accepted }) => accepted.length > 0)) accepting.reserve();
      results = applyAll(index, group);
      const accepted = [...still, ...group.flatMap((commit, n) => (results[n]?.error ? [] : commit.accepted))];
      index.run({ sql: checkpoint, params: [accepting.checkpoint(accepted)] });
      synced = accepting.append(accepted);
      index.exec("COMMIT");
    } catch (thrown) {
      try {
        index.exec("ROLLBACK");
      } catch {
        // Nothing was begun, or SQLite rolled back itself.
      }
      const kind =
        (await synced?.then(accepting.takeBack).then(
          () => kindOf(thrown),
          () => "damaged" as const,
        )) ?? kindOf(thrown);
      if (kind === "damaged") isDamaged = true;
      return group.map(({ n }) => failed(n, kind === "conflict" ? "damaged" : kind, messageOf(thrown)));
    }
    try {
      await synced;
      still = [];
      return results;
    } catch (thrown) {
      // An fsync that failed once may succeed the second time without having written: never retried on this handle.
      isDamaged = true;
      return group.map(({ n }) => failed(n, "damaged", messageOf(thrown)));
    }
  };

  return {
    write: async (group) =>
      isDamaged
        ? group.map(({ n }) => failed(n, "damaged", "the store stopped after a failed write; restart the site"))
        : await write(group),
    close: () => {
      if (isDamaged) return false;
      accepting.close();
      index.run({ sql: checkpoint, params: [accepting.checkpoint([])] });
      return true;
    },
  };
}

/**
 * Begins a transaction with the changes of all. A savepoint costs a copy of every page that is changed after it, more than the
 * change itself: only when some commit conflicts is all done anew with one for each.
 */
function applyAll(index: Index, group: readonly Commit[]): readonly Committed[] {
  index.exec("BEGIN IMMEDIATE");
  try {
    for (const { statements } of group) for (const statement of statements) index.run(statement);
    return group.map(({ n }) => ({ n }));
  } catch (thrown) {
    if (kindOf(thrown) !== "conflict") throw thrown;
    index.exec("ROLLBACK");
    index.exec("BEGIN IMMEDIATE");
    return group.map((commit) => apply(index, commit));
  }
}

/** One caller's changes: all or none, whatever the others of the group do. */
function apply(index: Index, { n, statements }: Commit): Committed {
  index.exec("SAVEPOINT one");
  try {
    for (const statement of statements) index.run(statement);
    index.exec("RELEASE one");
    return { n };
  } catch (thrown) {
    const kind = kindOf(thrown);
    if (kind !== "conflict") throw thrown;
    index.exec("ROLLBACK TO one; RELEASE one");
    return failed(n, kind, messageOf(thrown));
  }
}

const failed = (n: number, kind: NonNullable<Committed["error"]>["kind"], message: string): Committed => ({
  n,
  error: { kind, message },
});

const messageOf = (thrown: unknown): string => (thrown instanceof Error ? thrown.message : String(thrown));

/** SQLITE_CONSTRAINT is 19; the low octet is the primary code. */
function kindOf(thrown: unknown): "conflict" | "full" | "damaged" {
  const { errcode = 0 } = thrown as { errcode?: number };
  if ((errcode & 0xff) === 19) return "conflict";
  return isFull(thrown) ? "full" : "damaged";
}
