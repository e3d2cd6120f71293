/** Reading the audit log, which is itself an event of it (PS3.15 A.5.3.2, Audit Log Used), and its entries as messages of ATNA. */
import { setImmediate as others } from "node:timers/promises";
import { type AuditMessage, writeAuditMessage } from "../formats/audit-message.ts";
import { type AuditVocabulary, auditEvents, auditOutcomes } from "../store/audit-events.ts";
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

/** PS3.16 CID 402. */
const roles = {
  source: { code: "110153", system: "DCM", text: "Source Role ID" },
  destination: { code: "110152", system: "DCM", text: "Destination Role ID" },
  application: { code: "110150", system: "DCM", text: "Application" },
} as const;
const other = { source: "destination", destination: "source", application: "application" } as const;

/** An entry as DICOM PS3.15 A.5.1 writes it. Who asks is the requestor: the peer of what is answered, else this site or a person. */
export function auditMessage(site: string, entry: Audited): string {
  const { seq, chain, at, event, outcome, peer, address, subject, manifest, code, reason, patients } = entry;
  const { id, action, type, role }: AuditVocabulary = auditEvents[event];
  const isAsked = role !== "source" && peer !== undefined && peer !== null;
  const own = { name: site, isRequestor: !isAsked, role: roles[role], address: null };
  const message: AuditMessage = {
    at,
    action,
    outcome: auditOutcomes[outcome],
    says: [code, reason].filter((each) => each).join(" ") || null,
    id,
    type,
    site,
    participants: peer
      ? [own, { name: peer, isRequestor: isAsked, role: roles[other[role]], address: address ?? null }]
      : [own],
    patients: patients.flatMap(({ ids }) => ids ?? []),
    object: {
      id: subject ?? site,
      details: { sequence: String(seq), chain, ...(manifest ? { manifest } : {}) },
    },
  };
  return writeAuditMessage(message);
}
