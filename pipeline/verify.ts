/** Everything a site keeps, looked at again: accept journal, index, audit log and blobs, each against the others. Nothing is changed. */
import { setImmediate as others } from "node:timers/promises";
import { codeOf, reasonOf } from "../errors.ts";
import type { BlobName, Store } from "../store/store.ts";
import { clearPieces } from "./clear.ts";

/** What does not hold, and whose it is: ids of arrivals, items and records, control ids of arrivals. */
export type Damage = {
  readonly where: "index" | "journal" | "audit" | "blob";
  readonly code: "STORE_DAMAGED";
  readonly reason: string;
  readonly of: readonly string[];
};
export type Verified = { readonly acceptances: number; readonly blobs: number; readonly bytes: number };

const page = 1000;
const maxDamages = 100;

/** Yields each damage as it is found, and what was looked at when it ends. A site may run meanwhile. */
export async function* verifyStore(store: Store): AsyncGenerator<Damage, Verified> {
  for (const line of await store.checks.index()) yield damage("index", line);
  for (const shut of store.checks.unopened()) {
    for (const { table, column, id } of shut)
      yield damage("index", `${column} of a row of ${table} does not open`, [id]);
    // A running site goes on with its work between pages.
    await others();
  }
  const following = store.audit.follow();
  let followed = following.next();
  for (; !followed.done; followed = following.next()) await others();
  const { broken } = followed.value;
  if (broken) yield damage("audit", `entry ${broken.seq} of the audit log ${broken.reason}`);
  let acceptances = 0;
  try {
    for (const { id, digest } of store.checks.acceptances()) {
      acceptances += 1;
      if (acceptances % page === 0) await others();
      const row = store.arrivals.find(id);
      if (!row) yield damage("journal", "acknowledged, and not in the index", [id]);
      else if (row.digest !== store.tokens.of("digest", "", digest))
        yield damage("journal", "acknowledged with other octets than the index says", [id, row.controlId]);
    }
  } catch (thrown) {
    yield damage("journal", reasonOf(thrown));
  }
  for (const { blob, id } of await store.checks.dangling(maxDamages))
    yield damage("index", `blob ${blob.slice(0, 8)} is named and not in the index`, [id]);
  let [blobs, bytes] = [0, 0];
  for (let after: BlobName = ""; ; ) {
    const names = store.blobs.names(after, page);
    for (const name of names) {
      blobs += 1;
      try {
        for await (const chunk of clearPieces({ store }, name)) bytes += chunk.length;
      } catch (thrown) {
        // Dropped since its name was read: a message is kept without its payload once its document is durable.
        if (!store.blobs.has(name)) continue;
        const of = store.blobs.usedBy(name).flatMap(({ id, controlId }) => (controlId ? [id, controlId] : [id]));
        yield damage("blob", `${name.slice(0, 8)}: ${codeOf(thrown)}: ${reasonOf(thrown)}`, of);
      }
    }
    const last = names.at(-1);
    if (last === undefined) return { acceptances, blobs, bytes };
    after = last;
  }
}

const damage = (where: Damage["where"], reason: string, of: readonly string[] = []): Damage => ({
  where,
  code: "STORE_DAMAGED",
  reason,
  of,
});
