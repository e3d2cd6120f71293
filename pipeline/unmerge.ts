/**
 * Patients who were taken for one and are two (ADT^A37): what a merge has said of two ids of this house is taken back, here and
 * at the registry. What was sealed, and what other houses have, stays as it was.
 */
import { unlinkedIn } from "../formats/hl7-merge.ts";
import { ownerOf, patientIdsOf } from "./identifiers.ts";
import { affected, type Merge, type Merged, maxMergesTold, tellMerges, tokenOf } from "./merge.ts";
import { type Site, step } from "./site.ts";
import type { SpooledMessage } from "./verdicts.ts";

/** What is taken back here and at the registry, whether this house knows of it or not; nothing where no two of the ids are under one root. */
export function unmerge(site: Site, message: SpooledMessage): Merged {
  const { store, config } = site;
  const pairs = pairsOf(site, message);
  if (pairs.length === 0) return { code: "MERGE_NOT_COMPARABLE", changes: [], looked: [] };
  const told = pairs.filter(({ prior }) => ownerOf(config, prior.root) === config.site).slice(0, maxMergesTold);
  const looked = affected(site, pairs).filter(({ state }) => state === "waiting");
  const changes = [
    ...pairs.flatMap(({ prior, surviving }) =>
      [true, false].flatMap((isRooted) =>
        store.merges.undo([tokenOf(store, prior, isRooted), tokenOf(store, surviving, isRooted)]),
      ),
    ),
    ...tellMerges(site, { merges: told, arrival: message.id, isUndone: true }),
    step(site, message.id, "source", "unmerged", { detail: `${pairs.length} ids, ${looked.length} documents wait` }),
  ];
  return { code: told.length > 0 ? "UNMERGED" : "UNMERGED_HERE", changes, looked };
}

/** Every two different ids under one root: which of them was merged into which, a message does not say. */
function pairsOf({ config }: Site, { bytes, facts }: SpooledMessage): readonly Merge[] {
  const [one, other] = unlinkedIn(bytes, facts).map((patient) => patientIdsOf(config, patient).ids);
  return (one ?? []).flatMap((prior) =>
    (other ?? [])
      .filter(({ root, extension }) => root === prior.root && extension !== prior.extension && extension !== "")
      .map((surviving): Merge => ({ prior, surviving })),
  );
}
