/** Reading the audit log, which is itself an event of it (PS3.15 A.5.3.2, Audit Log Used). */
import { setImmediate as others } from "node:timers/promises";
import type { Audited, Store } from "../store/store.ts";

const page = 500;

/** Entries behind a number, oldest first, up to the one that says that they were read. */
export async function* readAudit(store: Store, after: number, reason: string): AsyncGenerator<Audited> {
  await store.commit(store.audit.add({ event: "audit", peer: "admin", reason }));
  const { seq: last } = store.audit.head();
  for (let seq = after; seq < last; ) {
    const entries = store.audit.after(seq, Math.min(page, last - seq));
    yield* entries;
    seq = entries.at(-1)?.seq ?? last;
    await others();
  }
}
