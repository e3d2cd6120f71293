/** Storage commitment (PS3.4 J): what this site is answerable for is what lies sealed on its stable storage. */
import { setImmediate as others } from "node:timers/promises";
import type { Commit } from "../connectors/connector.ts";
import { failureReasons, type Reference } from "../connectors/dicom/commitment.ts";
import { codeOf, reasonOf } from "../errors.ts";
import type { DicomFacts } from "../formats/dicom.ts";
import { failureOfReceived } from "./returned.ts";
import type { Site } from "./site.ts";

/** References looked up before others get their turn. */
const maxAtOnce = 256;

/**
 * Answers requests of a site's systems. `complete` is told the SOP Instance UIDs of a request of which all are here: its
 * sender means them as a whole, so their studies need not wait for a quiet period.
 */
export const openCommit =
  (site: Site, complete: (sopInstanceUids: readonly string[]) => Promise<void>): Commit =>
  async ({ sender, references }) => {
    const failures: (number | null)[] = [];
    for (const [index, reference] of references.entries()) {
      if (index % maxAtOnce === maxAtOnce - 1) await others();
      failures.push(await failureOf(site, reference));
    }
    if (failures.every((failure) => failure === null))
      await complete(references.map(({ sopInstanceUid }) => sopInstanceUid)).catch((thrown: unknown) =>
        site.log("commitment.uncounted", { peer: sender, code: codeOf(thrown), reason: reasonOf(thrown) }, "warn"),
      );
    return failures;
  };

/** Durable is what was accepted and neither discarded nor past its retention: what is held for a person is kept, too; and what another house's record has. */
async function failureOf(site: Site, reference: Reference): Promise<number | null> {
  const { sopClassUid, sopInstanceUid } = reference;
  const kept = site.store.items
    .byKey("instance", sopInstanceUid)
    .filter(({ state, blob }) => state !== "discarded" && blob !== "");
  if (kept.length === 0) return await failureOfReceived(site, reference);
  const isOfClass = kept.some(({ facts }) => (facts as DicomFacts).sopClassUid === sopClassUid);
  return isOfClass ? null : failureReasons.classInstanceConflict;
}
