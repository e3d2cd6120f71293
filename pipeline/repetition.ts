/** A message that comes again: its HIS gets the same answer, and this house is told where that hides that nothing will come of it. */
import type { ArrivalRow } from "../store/store.ts";
import { cancelled } from "./correction.ts";
import { type Site, step } from "./site.ts";

const reason = "what came of this message was discarded: its HIS has to send it under a new control id (MSH-10)";

/** Says so in the log each time, and once in the journal: a HIS may repeat it without end. */
export async function tellRepetition(
  site: Site,
  { id, source: peer }: Pick<ArrivalRow, "id" | "source">,
  controlId: string,
): Promise<void> {
  const { store, log } = site;
  const isDiscarded = store.items.byArrival(id).some(({ state, code }) => state === "discarded" && code !== cancelled);
  if (!isDiscarded) return log("source.repeated", { controlId, message: id });
  log("source.repeated", { controlId, message: id, peer, reason }, "warn");
  if (store.steps.of([id]).some(({ event }) => event === "repeated")) return;
  // The answer waits for no disk that is full.
  await store.commit([step(site, id, "source", "repeated", { peer, detail: reason })]).catch(() => undefined);
}
