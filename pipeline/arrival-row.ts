/** The journal row of what arrives, what the audit log says of it, and the step of what is quarantined: the same for messages and instances. */
import type { Arrival } from "../connectors/connector.ts";
import type { ArrivalRow, AuditedPatient, Change, Id } from "../store/store.ts";
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

/** What was taken in is audited; what was refused as it came is kept for a person, and told in the journal, too. */
export function takenIn(site: Site, row: ArrivalRow, patients: readonly AuditedPatient[] = []): readonly Change[] {
  const { id, source, sender, state, code, reason } = row;
  const event = row.mediaType === "application/dicom" ? "instance" : "message";
  const entry = { event, subject: id, peer: source, address: sender, patients } as const;
  if (state !== "refused") return site.store.audit.add(entry);
  return [
    step(site, id, "source", "quarantined", { peer: source, code }),
    ...site.store.audit.add({ ...entry, outcome: "refused", code, reason }),
  ];
}
