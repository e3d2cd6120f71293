/** What the audit log says of a delivery, and of a patient: the numbers they are known by, under the key of the first. */
import type { AuditEntry, AuditEvent, AuditedPatient, Change, Delivery, Store, StoredRecord } from "../store/store.ts";
import type { Station } from "./metrics.ts";
import { type Site, step } from "./site.ts";

const maxNumbers = 16;

/** The one patient whom these numbers name; nobody where there is none. */
export function namedPatient({ store }: Pick<Site, "store">, numbers: readonly string[]): readonly AuditedPatient[] {
  const [first] = numbers;
  if (first === undefined) return [];
  return [{ patient: store.tokens.of("patient", "", first), ids: numbers.slice(0, maxNumbers) }];
}

/** The same of ids with the authority that gives them. */
export const identifiedPatient = (
  site: Pick<Site, "store">,
  ids: readonly { readonly root: string; readonly extension: string }[],
): readonly AuditedPatient[] =>
  namedPatient(
    site,
    ids.map(({ root, extension }) => extension || root),
  );

/** The patient of a record. */
export const recordPatient = (site: Pick<Site, "store">, { entry }: Pick<StoredRecord, "entry">) => {
  const own = entry as { readonly patientIds?: PatientIds; readonly entry?: { readonly patientIds: PatientIds } };
  return identifiedPatient(site, own.patientIds ?? own.entry?.patientIds ?? []);
};
type PatientIds = readonly { readonly root: string; readonly extension: string }[];

/** A comparison with the admission is within the site. */
const auditedAs: Readonly<Record<Delivery["kind"], AuditEvent | null>> = {
  register: "register",
  change: "change",
  push: "push",
  notify: "notice",
  fetch: "query",
  retrieve: "retrieve",
  identify: null,
  receipt: "receipt",
  message: "delivery",
  study: "delivery",
};

/** An entry of a delivery. */
export function deliveryAudited(
  store: Store,
  { kind, destination: peer }: Pick<Delivery, "kind" | "destination">,
  entry: Omit<AuditEntry, "event" | "peer">,
): readonly Change[] {
  const event = auditedAs[kind];
  return event === null ? [] : store.audit.add({ event, peer, ...entry });
}

/** The step of a delivery that failed, and its entry: refused where it is parked, for a person. */
export function failing(
  site: Site,
  station: Station,
  delivery: Delivery,
  event: "paused" | "deferred" | "parked",
  { code, reason }: { readonly code: string; readonly reason: string },
): readonly Change[] {
  const { id, record, destination: peer, attempts: attempt } = delivery;
  const [subject, outcome] = [record ?? id, event === "parked" ? "refused" : "failed"] as const;
  return [
    step(site, subject, station, event, { peer, code, attempt }),
    ...deliveryAudited(site.store, delivery, { outcome, subject, code, reason }),
  ];
}
