/**
 * Pruning of the audit log: what is older than it is to be kept, up to a checkpoint that was signed, after the chain up to there
 * was followed. An anchor stays, and an entry that says what it stands for.
 */
import { setImmediate as others } from "node:timers/promises";
import { readCheckpoint } from "../envelope/index.ts";
import { isOwnSignature } from "../envelope/own-signature.ts";
import { Fault } from "../errors.ts";
import { anchorText } from "../store/audit-chain.ts";
import type { Site } from "./site.ts";

/** Each anchor is an entry: no more than one a day. */
const dayMs = 86_400_000;
/** Entries removed in one commit, between those of intake. */
const page = 1_000;

/** One pass; how many entries went. STORE_DAMAGED, and nothing goes, where what would be pruned does not hold. */
export async function pruneAudit({
  store,
  config,
  identity,
  now,
  log,
}: Pick<Site, "store" | "config" | "identity" | "now" | "log">): Promise<number> {
  const { years } = config.own.retention.audit;
  const { auditPruning: pruning } = store;
  if (years !== undefined) {
    const before = now();
    before.setUTCFullYear(before.getUTCFullYear() - years);
    const [last, due] = [pruning.anchor(), pruning.due(before.toISOString())];
    if (due && Date.parse(due.lastAt) >= (last ? Date.parse(last.lastAt) + dayMs : 0)) {
      const { checkpoint, ...signature } = readCheckpoint(due.signed);
      const isOwn = isOwnSignature([identity.signer.certificate], identity.trust.anchors, signature);
      const following = store.audit.followTo({ seq: due.seq, head: checkpoint.head, by: "its checkpoint" });
      let followed = following.next();
      for (; !followed.done; followed = following.next()) await others();
      const { broken, head } = followed.value;
      if (!isOwn || broken || head.seq !== due.seq || checkpoint.seq !== due.seq || checkpoint.org !== config.site)
        throw new Fault(
          "STORE_DAMAGED",
          `the audit log is not pruned: up to entry ${due.seq} it does not hold; run semrs audit verify`,
        );
      await store.commit([
        ...store.audit.add({ event: "prune", count: due.seq, reason: anchorText(due) }),
        pruning.prune(due),
      ]);
      log("audit.pruned", { count: due.seq - (last?.seq ?? 0), reason: anchorText(due) });
    }
  }
  let removed = 0;
  for (let changes = pruning.remove(page); changes.length > 0; changes = pruning.remove(page)) {
    await store.commit(changes);
    removed += page;
  }
  return removed;
}
