/** What can be checked: the database file against itself, its sealed values, the accept journal's chain, rows against the blobs they name. */
import { join } from "node:path";
import { emptyHead, walkJournal } from "./accept-journal.ts";
import { beside, named } from "./beside.ts";
import type { CheckRequest, Dangling } from "./index-checks.ts";
import type { StorageKeys } from "./keys.ts";
import type { PatientKeys } from "./patient-keys.ts";
import type { Patterns } from "./patterns.ts";
import { type ChannelSum, none, type ReconcileRequest, type Reconciliation, reconcile, totalled } from "./reconcile.ts";
import { openSealed, type Unopened } from "./sealed.ts";
import type { Database } from "./sqlite.ts";
import type { Acceptance, Id } from "./store.ts";

/** What the index and the accept journal say of each other, and of themselves. */
export type Checks = {
  /** One line of text for everything that is wrong in the database file; empty when it is whole. In a thread: it reads every page. */
  index(): Promise<readonly string[]>;
  /** Sealed values that do not open, a page of the index at a time. */
  unopened(): Iterable<readonly Unopened[]>;
  /** Every acceptance since the first, from the accept journal; STORE_DAMAGED where its chain does not hold. */
  acceptances(): Iterable<Acceptance>;
  /** Blobs that a row names and the index lacks. */
  dangling(limit: number): Promise<readonly Dangling[]>;
  /** What was accepted against what became of it, by channel; `outbound`: channels whose arrivals become documents. */
  reconcile(outbound: readonly string[], signal?: AbortSignal): Promise<Reconciled>;
};

export type Reconciled = {
  /** Acceptances in the accept journal since the first. */
  readonly acknowledged: number;
  /** One line a channel; what is acknowledged and in no row is lost under the channel "". */
  readonly channels: readonly ChannelSum[];
};

/** Up to so many octets of index, some 400 messages, a pass takes a tenth of what a thread takes to begin. */
const maxInPlace = 512 * 1024;

/** What can be checked of the store in a folder. */
export function openChecks(
  db: Database,
  keys: StorageKeys,
  patterns: Patterns,
  patientKeys: PatientKeys,
  folder: string,
): Checks {
  const [database, journal] = [join(folder, "semrs.db"), join(folder, "accept.journal")];
  const asked = <Answer>(name: CheckRequest["name"], what: string, limit = 0): Promise<Answer> =>
    beside<CheckRequest, Answer>("./checks-worker.ts", { database, name, limit }, what);
  const missing = new Set<Id>();
  // The first pass goes through the journal from its first line on, the others through what came since.
  let head = emptyHead;
  let acknowledged = 0;
  // With what no checkpoint has brought into the file yet. Every acceptance has a row, so that the journal is as short.
  const isSmall = (): boolean => {
    const index = db.get("SELECT page_count * page_size AS size FROM pragma_page_count, pragma_page_size");
    return Number(index?.size) <= maxInPlace;
  };
  return {
    index: () => asked<readonly string[]>("index", "the check of the index"),
    unopened: () => openSealed(db, keys, patterns, patientKeys),
    acceptances: () => walkJournal(journal),
    dangling: (limit) => asked<readonly Dangling[]>("dangling", "the check of blobs", limit),
    reconcile: async (outbound, signal) => {
      const request: ReconcileRequest = { database, journal, from: head, outbound };
      const what = "reconciliation";
      const found: Reconciliation = isSmall()
        ? await named(what, signal, () => reconcile(request, signal))
        : await beside("./reconcile-worker.ts", request, what, signal);
      for (const id of found.missing) missing.add(id);
      head = found.head;
      acknowledged += found.acknowledged;
      const lost = missing.size + found.late.length;
      const rest = found.channels.filter(({ channel }) => channel !== "");
      const unnamed = found.channels.find(({ channel }) => channel === "") ?? totalled("", none());
      const first = totalled("", { ...unnamed, lost: unnamed.lost + lost });
      return { acknowledged: acknowledged + found.late.length, channels: first.accepted > 0 ? [first, ...rest] : rest };
    },
  };
}
