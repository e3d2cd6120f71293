/** `fetch: { request: api }`: a program or a person asks for a patient's records; in an emergency past consent, with a reason. */
import { Fault } from "../errors.ts";
import type { PatientId } from "../formats/command.ts";
import type { Id } from "../store/store.ts";
import { identifiedPatient } from "./audited.ts";
import { inboundChannels } from "./channels.ts";
import type { FetchPayload } from "./fetch.ts";
import { identifyHeld } from "./identify.ts";
import type { Admission } from "./patient.ts";
import { newDelivery } from "./route.ts";
import { type Site, step } from "./site.ts";

export type Wanted = {
  readonly patientIds: readonly PatientId[];
  /** The patient as this house knows them. */
  readonly patient?: Admission["patient"] | undefined;
  /** Why consent does not count: the registry's review reads it. */
  readonly emergency?: { readonly reason: string } | undefined;
};

/** Queues a query, which the audit log has if it is urgent; NOT_PERMITTED where no channel fetches on request. */
export async function fetchNow(
  site: Site,
  { patientIds, patient, emergency }: Wanted,
): Promise<{ readonly id: Id; readonly channel: string; readonly state: "queued" }> {
  const { store, config, log } = site;
  const channel = inboundChannels(config).find(({ fetch }) => fetch.when.some((when) => "request" in when));
  if (!channel) throw new Fault("NOT_PERMITTED", "no channel of this site fetches on request; add { request: api }");
  const admission = patient ? { ids: patientIds, patient } : null;
  const payload: FetchPayload = { patientIds, admission, ...(emergency ? { emergency: emergency.reason } : {}) };
  const delivery = newDelivery(site, "fetch", channel.name, config.registryPartner);
  const { id } = delivery;
  await store.commit([
    store.deliveries.add({ ...delivery, payload }),
    ...(emergency
      ? [
          step(site, id, "admin", "urged"),
          ...store.audit.add({
            event: "urgency",
            subject: id,
            peer: "admin",
            reason: emergency.reason,
            patients: identifiedPatient(site, patientIds),
          }),
        ]
      : []),
    ...(admission ? identifyHeld(site, admission) : []),
  ]);
  // The reason may tell of the patient: it is in the audit log, not in this one.
  if (emergency) log("admin.urged", { channel: channel.name, message: id }, "warn");
  site.wake();
  return { id, channel: channel.name, state: "queued" };
}
