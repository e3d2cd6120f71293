/**
 * Retention: records that are finished and older, or more, than their channel keeps lose their keys and octets, and so does what
 * was refused or filtered, did what it was for, or was discarded; a tombstone stays.
 */
import { codeOf, reasonOf } from "../errors.ts";
import type { KeptRecord } from "../store/kept.ts";
import type { EndedState } from "../store/kept-arrivals.ts";
import { firstId } from "../store/rows.ts";
import type { Id, Token } from "../store/store.ts";
import { pruneAudit } from "./audit-pruning.ts";
import { openBelief, saysDoubt } from "./belief.ts";
import type { Channel } from "./config.ts";
import { itemHusk, recordHusk } from "./husks.ts";
import { relationMs } from "./related.ts";
import { openDiscarded } from "./retention-discarded.ts";
import { openDone } from "./retention-done.ts";
import { type Site, step } from "./site.ts";

export type Retention = {
  /** One pass: counts what is new, then shreds what is over; how many records, arrivals and items. */
  look(): Promise<number>;
  begin(): void;
  /** Why the clock is not believed, as far as it was looked at. */
  doubt(): string | undefined;
  stop(): Promise<void>;
};

const everyMs = 60_000;
/** What the audit log is pruned of is followed first. */
const pruneEveryMs = 3_600_000;
/** Records counted in one commit, and looked at in one query; each is shredded in a commit of its own, between those of intake. */
const page = 100;
/** Ids of envelopes, and repetition tokens, whose time is over, in one commit: there may be tens of thousands a minute. */
const forgottenAtOnce = 1_000;
/** Repetition tokens, which count for a day, are all gone through this often. */
const repetitionsEveryMs = 3_600_000;
/** However full a channel is: what was made just now stays. */
const youngestMs = 3_600_000;
/** However full: a sender repeats what was refused, and is told as before, for a day. */
const youngestArrivalMs = 86_400_000;
/** A blob that was used again stays this long: whoever uses it may wait for a study or a person before it is in a record. */
const pinnedMs = 90 * 86_400_000;
/** Files go later than their rows: whoever reads one, and a backup that is under way, may finish. */
const removedAfterMs = 3_600_000;

/** Runs about once a minute from `begin` on. `steady` is a clock that nobody can set. */
export function openRetention(site: Site, steady = (): number => performance.now()): Retention {
  const { store, config, log } = site;
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<unknown> = Promise.resolve();
  let isStopped = false;
  let [pruneAt, repetitionsAt] = [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY];
  let leaving: { readonly at: number; readonly files: readonly string[] }[] = [];
  const before = (ms: number): string => new Date(believed - ms).toISOString();
  /** To the hour, as the store keeps it. */
  const pinned = (): string => before(pinnedMs).slice(0, "YYYY-MM-DDTHH".length);
  const leave = (files: readonly string[]): void => void leaving.push({ at: steady() + removedAfterMs, files });

  const believe = openBelief();
  let believed = site.now().getTime();
  let doubt: string | undefined;
  const lookAtClock = async (): Promise<void> => {
    const wall = site.now().getTime();
    const belief = believe({ wall, steady: steady() }, store.believed.until());
    const before = doubt;
    doubt = belief.isDoubted ? saysDoubt(wall, belief) : undefined;
    believed = belief.time;
    if (doubt !== undefined && before === undefined) log("retention.waits", { reason: doubt }, "error");
    if (belief.keep !== undefined) await store.commit([store.believed.put(belief.keep)]);
  };

  const count = async (): Promise<void> => {
    for (let changes = store.kept.count(page); changes.length > 0 && !isStopped; changes = store.kept.count(page))
      await store.commit(changes);
  };

  /** What of a pass cannot be read keeps nothing else from its end: it is told once all had their turn. */
  let unread: unknown;
  const readable = <T>(read: () => T): T | undefined => {
    try {
      return read();
    } catch (thrown) {
      if (codeOf(thrown) !== "STORE_DAMAGED") throw thrown;
      unread ??= thrown;
      return undefined;
    }
  };

  /** One record; false where it cannot be read, or somebody has begun to wait for it. */
  const shred = async (row: KeptRecord): Promise<boolean> => {
    const husk = readable(() => {
      const record = store.records.find(row.record);
      const items = Object.fromEntries(store.items.byRecord(row.record).map((item) => [item.id, itemHusk(item)]));
      return record && { record: recordHusk(record), items };
    });
    if (!husk) return false;
    const { changes, files } = store.kept.shred(row, husk, pinned());
    try {
      await store.commit([...changes, step(site, row.record, "admin", "shredded", { detail: "retention" })]);
    } catch (thrown) {
      if (codeOf(thrown) === "STORE_CONFLICT") return false;
      throw thrown;
    }
    leave(files);
    return true;
  };

  const keep = async ({ name, retention }: Channel): Promise<number> => {
    let excess = retention.size === undefined ? 0 : (store.kept.bytes()[name] ?? 0) - retention.size;
    const oldest = retention.for === undefined ? "" : before(retention.for);
    let [shredded, bytes] = [0, 0];
    let after: KeptRecord | undefined;
    for (let isMore = true; isMore && !isStopped; ) {
      const limit = excess > 0 ? before(youngestMs) : oldest;
      const rows = store.kept.finished({ channel: name, before: limit > oldest ? limit : oldest, after, limit: page });
      for (const row of rows) {
        if (isStopped || (excess <= 0 && row.at >= oldest)) break;
        if (!(await shred(row))) continue;
        excess -= row.bytes;
        bytes += row.bytes;
        shredded += 1;
      }
      after = rows.at(-1);
      isMore = rows.length === page;
    }
    if (shredded > 0) log("retention.shredded", { channel: name, count: shredded, bytes });
    return shredded;
  };

  const keepEnded = async (state: EndedState): Promise<number> => {
    const { for: age, size } = config.own.retention[state];
    if (age === undefined && size === undefined) return 0;
    const { keptArrivals } = store;
    if (size !== undefined)
      for (let changes = keptArrivals.count(state, page); changes.length > 0 && !isStopped; )
        changes = await store.commit(changes).then(() => keptArrivals.count(state, page));
    let excess = size === undefined ? 0 : keptArrivals.bytes(state) - size;
    const youngest = idBefore(youngestArrivalMs);
    const oldest = age === undefined ? "" : idBefore(age);
    let shredded = 0;
    for (let [after, isMore] = ["", true]; isMore && !isStopped; ) {
      const limit = excess > 0 ? youngest : oldest;
      const rows = keptArrivals.oldest({ state, before: limit, after, limit: page });
      const over = rows.filter(({ id, bytes }) => {
        const isOver = excess > 0 || id < oldest;
        if (isOver) excess -= bytes ?? 0;
        return isOver;
      });
      if (over.length > 0) {
        const ids = over.map(({ id }) => id);
        const { changes, files } = keptArrivals.shred(state, ids, pinned());
        await store.commit(changes);
        leave(files);
      }
      shredded += over.length;
      after = rows.at(-1)?.id ?? "";
      isMore = over.length === page;
    }
    if (shredded > 0) log("retention.shredded", { reason: state, count: shredded });
    return shredded;
  };
  const ways = { done: openDone(site, steady), discarded: openDiscarded(site, steady, readable) } as const;
  const keepBehind = async (reason: keyof typeof ways): Promise<number> => {
    const { for: age } = config.own.retention[reason];
    if (age === undefined) return 0;
    const { count, files } = await ways[reason].look(idBefore(age), pinned(), () => isStopped);
    leave(files);
    if (count > 0) log("retention.shredded", { reason, count });
    return count;
  };
  const idBefore = (ms: number): Id => firstId(believed - ms);

  /** What is kept for a time of its own, whatever the channels keep. */
  const forget = async (): Promise<void> => {
    const told = store.relations.expire(before(relationMs));
    if (told.length > 0) await store.commit(told);
    const seen = () => store.messages.expire(believed, forgottenAtOnce);
    for (let changes = seen(); changes.length > 0 && !isStopped; changes = seen()) await store.commit(changes);
    if (steady() < repetitionsAt) return;
    repetitionsAt = steady() + repetitionsEveryMs;
    for (let after: Token | undefined = ""; after !== undefined && !isStopped; ) {
      const { changes, next } = store.arrivals.forgetPage(after, forgottenAtOnce);
      if (changes.length > 0) await store.commit(changes);
      // Others have their turn between two pages.
      else await new Promise(setImmediate);
      after = next;
    }
  };

  const pass = async (): Promise<number> => {
    await lookAtClock();
    await count();
    // A message that was kept as a file until its document was: without this each would leave one until the next start.
    leave(store.blobs.dropped());
    await forget();
    let shredded = 0;
    for (const channel of config.own.channels) shredded += await keep(channel);
    for (const state of ["refused", "filtered"] as const) shredded += await keepEnded(state);
    for (const reason of ["done", "discarded"] as const) shredded += await keepBehind(reason);
    const due = leaving.filter(({ at }) => at <= steady());
    leaving = leaving.filter((each) => !due.includes(each));
    for (const { files } of due) await store.kept.remove(files);
    if (steady() >= pruneAt) {
      pruneAt = steady() + pruneEveryMs;
      await pruneAudit({ ...site, now: () => new Date(believed) });
    }
    const thrown = unread;
    unread = undefined;
    if (thrown !== undefined) throw thrown;
    return shredded;
  };
  const look = (): Promise<number> => {
    const mine = running.then(pass);
    running = mine.catch(() => undefined);
    return mine;
  };
  const watch = async (): Promise<void> => {
    await look().catch((thrown: unknown) =>
      log("retention.failed", { code: codeOf(thrown), reason: reasonOf(thrown) }, "error"),
    );
    if (!isStopped) timer = setTimeout(watch, everyMs).unref();
  };
  return {
    look,
    begin: () => void watch(),
    doubt: () => doubt,
    stop: async () => {
      isStopped = true;
      clearTimeout(timer);
      await running;
    },
  };
}
