/** The journal row of what arrives, and the step of what is quarantined: the same for messages and instances. */
import type { Arrival } from "../connectors/connector.ts";
import type { ArrivalRow, Change, Id } from "../store/store.ts";
import { type Site, step } from "./site.ts";

/** The row as nothing is known yet; `digest` is that of the octets, hex. */
export const arrivalRow = (
  { store, now }: Site,
  id: Id,
  system: string,
  { mediaType, controlId, sender }: Arrival,
  digest: string,
): ArrivalRow => ({
  id,
  source: system,
  channel: null,
  mediaType,
  controlId,
  sender,
  repetition: null,
  digest: store.tokens.of("digest", "", digest),
  blob: null,
  state: "accepted",
  code: null,
  reason: null,
  receivedAt: now().toISOString(),
  facts: null,
});

/** What was refused as it came is kept for a person: told in the journal. */
export const quarantined = (site: Site, { id, source, state, code }: ArrivalRow): readonly Change[] =>
  state === "refused" ? [step(site, id, "source", "quarantined", { peer: source, code })] : [];
