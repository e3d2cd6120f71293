/**
 * Before station `deliver`, where this house's own identity is delivered: does the record belong to the patient who was
 * admitted? One delivery a record; nothing of it is delivered before, and what is in doubt is parked for a person.
 */
import { Fault } from "../errors.ts";
import { examineDocument } from "../formats/cda-pool.ts";
import { readInstancePatient } from "../formats/dicom-file.ts";
import type { Change, Delivery } from "../store/store.ts";
import { clear, clearPieces } from "./clear.ts";
import type { InboundChannel } from "./config.ts";
import { channelOf, deliveriesFor, partOf, receivedOf, settled } from "./deliver.ts";
import type { Sent } from "./delivery.ts";
import { orderOf } from "./delivery-order.ts";
import { currently } from "./merge.ts";
import type { Received, ReceivedFacts } from "./open.ts";
import { type Admission, differsFrom, type IdentifyPayload, identified, numberOf, type Person } from "./patient.ts";
import { newDelivery } from "./route.ts";
import { type Site, step } from "./site.ts";

/** How many that wait for their patient are looked at when one comes. */
const maxHeld = 10_000;
const maxRelated = 16;

/** What a received record begins with: its deliveries, or first the question whose it is. */
export function begin(
  site: Site,
  channel: InboundChannel,
  received: Received,
  admission: Admission | null,
): readonly Change[] {
  if (channel.deliver.every(({ identity }) => identity === "original")) return deliveriesFor(site, channel, received);
  const { record } = received;
  const { order, changes } = orderOf(site, received);
  const payload: IdentifyPayload = { admission };
  const delivery = newDelivery(site, "identify", channel.name, site.config.site);
  return [...changes, site.store.deliveries.add({ ...delivery, record: record.id, order, payload })];
}

/** Lets the deliveries of a record begin; PATIENT_UNKNOWN or PATIENT_MISMATCH until a person or an admission decides. */
export async function identify(site: Site, delivery: Delivery): Promise<Sent> {
  const received = receivedOf(site, delivery);
  const channel = channelOf(site, delivery);
  const payload = payloadOf(site, delivery, received);
  const { isReleased } = payload;
  const admission = payload.admission && currently(site, payload.admission);
  if (!admission && !isReleased) {
    throw new Fault(
      "PATIENT_UNKNOWN",
      "no admission asked for this record; admit the patient, or release it to deliver it with the identity it was sealed with",
    );
  }
  if (admission) {
    for (const rule of channel.deliver)
      if (rule.identity === "ours" && site.config.own.systems[rule.to]?.dicom?.connect) numberOf(rule, admission);
    if (!isReleased) await compare(site, received, admission);
  }
  const changes = [
    site.store.deliveries.mark(delivery.id, { payload }),
    ...deliveriesFor(site, channel, received),
    ...settled(site, received, delivery),
  ];
  const whose = admission ? "of the admission" : "as it was sealed";
  return { changes, event: "identified", answer: isReleased ? `${whose}, released` : whose };
}

/** Its own; or that of the document it corrects or adds to: nobody is admitted for a correction. */
function payloadOf(site: Site, { payload }: Delivery, { record, facts }: Received): IdentifyPayload {
  const own = payload as IdentifyPayload;
  if (own.admission || own.isReleased) return own;
  const { appends, entry } = facts;
  const related = [...(appends === null ? [] : [appends]), ...entry.relatedDocuments.map(({ uniqueId }) => uniqueId)];
  for (const uniqueId of related.slice(0, maxRelated)) {
    for (const { id, author } of site.store.records.byKey(site.store.tokens.of("document", "", uniqueId))) {
      const earlier = identified(site, id);
      // A person who let the document go in spite of a contradiction has not seen this one.
      if (earlier?.admission) return { admission: earlier.admission };
      // Nor has who let it go as it was sealed, where another house names it.
      if (earlier && author === record.author) return earlier;
    }
  }
  return own;
}

/** The record, its document and each of its instances against the admission; the first contradiction is thrown. */
async function compare(site: Site, { record, facts }: Received, { ids, patient }: Admission): Promise<void> {
  if (!names(facts, ids))
    throw new Fault(
      "PATIENT_MISMATCH",
      "the record and the admission have no patient id in common; release or discard",
    );
  const admitted: Person = patient.written;
  const judge = (what: string, found: Person): void => {
    const differs = differsFrom(admitted, found);
    if (!differs) return;
    const reason = `${what} has another ${differs} than the admission; correct the admission, release or discard`;
    throw new Fault("PATIENT_MISMATCH", reason);
  };
  if (facts.appends === null) {
    const { birthTime, gender } = (await examineDocument(await clear(site, partOf(record, 1)))).facts;
    judge("the document", { birthDate: birthTime, sex: gender });
  }
  for (const { n } of facts.instances)
    judge("an instance", await readInstancePatient(clearPieces(site, partOf(record, n))));
}

const names = ({ entry }: ReceivedFacts, ids: readonly { root: string; extension: string }[]): boolean =>
  entry.patientIds.some((one) => ids.some(({ root, extension }) => one.root === root && one.extension === extension));

/** Records that are held for want of this patient, or in doubt about them, are looked at again; `unasked`: only the former. */
export function identifyHeld(site: Site, admission: Admission, which: "all" | "unasked" = "all"): readonly Change[] {
  const { store, now } = site;
  return store.deliveries.parked("identify", maxHeld).flatMap((delivery) => {
    const isAsked = (delivery.payload as IdentifyPayload).admission !== null;
    const { id, record } = delivery;
    const facts = record === null ? undefined : (store.records.find(record)?.entry as ReceivedFacts | undefined);
    if (!facts || !names(facts, admission.ids) || (isAsked && which === "unasked")) return [];
    const payload: IdentifyPayload = { admission };
    return [
      store.deliveries.mark(id, { state: "queued", due: now().getTime(), code: null, reason: null, payload }),
      step(site, record ?? id, "deliver", "admitted"),
    ];
  });
}
