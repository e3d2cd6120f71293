/** Station `deliver`: an opened record to the HIS as a message, then the proof back to its author; instances: deliver-study.ts. */

import type { Item, Outcome } from "../connectors/connector.ts";
import { keepOnly, mllpDestination } from "../connectors/mllp/index.ts";
import { contentOf, type Receipt, signReceipt, utcSeconds } from "../envelope/index.ts";
import { codeOf, Fault } from "../errors.ts";
import { examineDocument } from "../formats/cda-pool.ts";
import { charsetNamed } from "../formats/charset.ts";
import { receiptMediaType } from "../formats/command.ts";
import type { DocumentEntry } from "../formats/document-entry.ts";
import { buildMdm } from "../formats/hl7.ts";
import type { BlobName, Change, Delivery, Id, StoredRecord } from "../store/store.ts";
import { recordPatient } from "./audited.ts";
import { inboundChannels } from "./channels.ts";
import { clear } from "./clear.ts";
import type { InboundChannel } from "./config.ts";
import { isCancellation, overtakenAt, passedOver, replacedThere, replacedWith } from "./corrected.ts";
import type { Sent } from "./delivery.ts";
import { orderOf } from "./delivery-order.ts";
import { tlsOf } from "./identity.ts";
import type { Received, ReceivedFacts } from "./open.ts";
import { ask } from "./partner.ts";
import { patientOf } from "./patient.ts";
import { isOfAnother } from "./relation.ts";
import { newDelivery, recordOf } from "./route.ts";
import { msSince, type Site } from "./site.ts";
import { deliveredMessage } from "./transform.ts";
import { chunks } from "./validate.ts";

/** The deliveries that a received record asks for, in their order. */
export function deliveriesFor(site: Site, channel: InboundChannel, received: Received): readonly Change[] {
  const { store, config } = site;
  const { record, facts } = received;
  const { order, changes } = orderOf(site, received);
  const deliveries = channel.deliver.flatMap(({ to }) => {
    const system = config.own.systems[to];
    const kind = system?.mllp?.connect ? "message" : "study";
    const isDue = kind === "message" ? facts.appends === null : facts.instances.length > 0;
    return isDue
      ? [store.deliveries.add({ ...newDelivery(site, kind, channel.name, to), record: record.id, order })]
      : [];
  });
  return [...changes, ...deliveries];
}

const maxAnswer = 64;
/** MSH-10, 20 characters, the same for every attempt: the end of the id, since ids that are made together begin alike. */
export const controlIdOf = ({ id }: Pick<Delivery, "id">): string => id.slice(-20);

const triggers = { new: "T02", addendum: "T06", replacement: "T10", cancel: "T11" } as const;
const events = { RPLC: "replacement", APND: "addendum" } as const;

/** What a document replaces, which none does of another house, or appends to; it may be a transformation besides (CDA R2 4.2.3.1). */
export const correctedBy = (
  { relatedDocuments }: Pick<DocumentEntry, "relatedDocuments">,
  isOfOther: (uniqueId: string) => boolean = () => false,
) =>
  relatedDocuments.flatMap(({ type, uniqueId }) =>
    type === "XFRM" || (type === "RPLC" && isOfOther(uniqueId)) ? [] : [{ type, uniqueId }],
  )[0];

/** The document, byte for byte, in a message that this HIS understands. */
export async function deliverMessage(site: Site, delivery: Delivery, onTheWire: () => Promise<void>): Promise<Sent> {
  const { store, config, log, now } = site;
  const received = receivedOf(site, delivery);
  const { record, facts } = received;
  const over = overtakenAt(site, record, delivery);
  if (over)
    return {
      changes: passedOver(site, record, delivery, over.code),
      event: "dropped",
      answer: over.reason,
      ended: { state: "discarded", ...over },
    };
  // What waits keeps its record whole: only a cancellation comes later.
  if (record.parts.length === 0)
    throw new Fault(
      "DOCUMENT_UNKNOWN",
      `the report's retention is over, and with it whose it is: cancel it at ${delivery.destination} by hand, then discard this`,
    );
  const mllp = mllpOf(site, delivery.destination);
  const rule = ruleOf(site, delivery);
  const bytes = await clear(site, partOf(record, 1));
  const cda = facts.header ?? (await examineDocument(bytes)).facts;
  const related = correctedBy(facts.entry, (uniqueId) => isOfAnother(site, record.author, uniqueId));
  const event = isCancellation(delivery.payload) ? "cancel" : related ? events[related.type] : "new";
  const form = rule.as?.[event] === "ORU^R01" ? "ORU" : "MDM";
  const attachments = await Promise.all(
    (facts.attachments ?? []).map(async ({ n, type }) => ({ bytes: await clear(site, partOf(record, n)), type })),
  );
  const charset = (mllp.charset !== "from-msh-18" && charsetNamed(mllp.charset)) || "utf-8";
  const built = buildMdm({
    event: triggers[event],
    form,
    // Octet for octet the same for every attempt, so that a HIS that saw it before knows it.
    controlId: controlIdOf(delivery),
    now: new Date(delivery.createdAt),
    timeZone: config.timeZone,
    charset,
    sendingApplication: "SEMRS",
    sendingFacility: config.site,
    receivingApplication: delivery.destination,
    receivingFacility: config.site,
    patient: patientOf(site, rule, record.id, cda, { id: delivery.id, cancels: event === "cancel" }),
    document: {
      bytes,
      attachments,
      uniqueId: facts.entry.uniqueId,
      typeCode: cda.code.code ?? "",
      typeName: cda.code.displayName ?? "",
      creationTime: cda.effectiveTime,
      ...(related ? { parentId: parentOf(site, received, delivery, related) } : {}),
    },
  });
  const message = await deliveredMessage(site, delivery.channel, built, charset, bytes);
  const started = performance.now();
  const item: Item = {
    controlId: controlIdOf(delivery),
    size: message.length,
    body: () => announced(onTheWire, message),
  };
  let outcome: Outcome | undefined;
  await sendNow(site, delivery.destination, item, (_item, is) => (outcome = is));
  const answer = answerOf(outcome);
  const fields = {
    channel: delivery.channel,
    message: record.id,
    controlId: item.controlId,
    peer: delivery.destination,
  };
  log("deliver.delivered", { ...fields, bytes: bytes.length, count: 1, ms: msSince(started) });
  const took = store.messages.took(delivery.destination, record.key, now().toISOString());
  const changes = [took, ...replacedWith(site, record, delivery), ...settled(site, received, delivery)];
  return { changes, event: "delivered", answer, audit: { patients: recordPatient(site, record) } };
}

/** What a correction is about, as far as this HIS has it. */
const parentOf = (site: Site, { record }: Received, delivery: Delivery, { type, uniqueId }: Related): string =>
  type === "RPLC" ? replacedThere(site, record, delivery, uniqueId) : uniqueId;
type Related = NonNullable<ReturnType<typeof correctedBy>>;

type Mllp = NonNullable<Site["config"]["own"]["systems"][string]["mllp"]>;
type Settings = ReturnType<typeof mllpDestination.options.parse>;

/** By the settings of now: they may be changed while a message waits for a connection. */
async function sendNow(
  site: Site,
  system: string,
  item: Item,
  report: (item: Item, outcome: Outcome) => void,
): Promise<void> {
  try {
    await mllpDestination.send(settingsOf(site, system), one(item), report, site);
  } catch (thrown) {
    if (codeOf(thrown) !== "STOPPING") throw thrown;
    await sendNow(site, system, item, report);
  }
}

/** After a reload: what waits for a connection by other settings than those of now waits for one by these. */
export function renewConnections(site: Site): void {
  const used = Object.keys(site.config.own.systems).flatMap((system) => {
    try {
      return [settingsOf(site, system)];
    } catch {
      // It has no connect any more, or a file of its authorities is not there: what waits is told that.
      return [];
    }
  });
  keepOnly(used, site);
}

/** Looked at once, but where files of authorities belong to them: those may be changed at any time. */
function settingsOf(site: Site, system: string): Settings {
  const { config, tls } = site;
  const mllp = mllpOf(site, system);
  const known = mllp.tls ? undefined : settings.get(mllp);
  if (known) return known;
  const fresh = mllpDestination.options.parse({ ...mllp, ...mllp.connect, ...tlsOf(config, tls, mllp.tls) });
  settings.set(mllp, fresh);
  return fresh;
}
const settings = new WeakMap<Mllp, Settings>();

function mllpOf({ config }: Site, system: string): Mllp {
  const mllp = config.own.systems[system]?.mllp;
  if (!mllp?.connect)
    throw new Fault("CONFIG_INVALID", `${system} has no mllp.connect; add it or discard the delivery`);
  return mllp;
}

/** Proof of delivery to the author's repository: the delivered receipt names the author's manifest. */
export async function sendReceipt(site: Site, delivery: Delivery): Promise<Sent> {
  const { identity, now, log } = site;
  const { record, facts } = receivedOf(site, delivery);
  const at = now();
  const { manifestSha256 } = record;
  const message = facts.message ?? record.id;
  const receipt = await signReceipt(
    {
      message,
      id: message,
      manifestSha256,
      from: identity.org,
      to: record.author,
      verdict: "delivered",
      receivedAt: utcSeconds(at),
      names: [manifestSha256],
      outcomes: outcomesOf(site, record.id),
      log: site.store.audit.head(),
    },
    identity.signer,
    at,
  );
  await ask(site, delivery.destination, {
    path: "/repository/receipts",
    purpose: "receipt",
    message: site.store.newId(),
    messageType: "receipt",
    content: [await contentOf(receipt, "command", receiptMediaType)],
    answers: ["response"],
  });
  log("deliver.receipted", { channel: delivery.channel, message: record.id, peer: delivery.destination });
  const changes = [...site.store.records.attach(record.id, { kind: "delivered", from: identity.org, receipt })];
  return { changes, event: "receipted", answer: "proof of delivery" };
}

/** What each system answered, once a system: the author shows it to who asks what became of the record. */
const outcomesOf = (site: Site, record: Id): Receipt["outcomes"] =>
  [
    ...new Map(
      site.store.steps
        .of([record])
        .filter(({ station, event }) => station === "deliver" && event === "delivered")
        .map(({ peer, detail }) => [peer ?? "", detail ?? ""]),
    ),
  ].map(([system, answer]) => ({ system, answer: answer.slice(0, maxAnswer) }));

/**
 * What is committed with each delivery of a record: with the last of them, the record is delivered and its author is told.
 * The writer decides which one is the last. The receipt has the record's id, so that there is one.
 */
export function settled(site: Site, { record, facts }: Received, { id: last }: Delivery): readonly Change[] {
  const { records, deliveries } = site.store;
  const { id, channel, author } = record;
  if (facts.profile === "semrs-2017") return [records.settle(id, last)];
  const receipt = { ...newDelivery(site, "receipt", channel, author), id, record: id };
  return [records.settle(id, last), deliveries.addOnceDelivered(receipt, id)];
}

/** What the system answered, or the fault that its answer is. */
export function answerOf(outcome: Outcome | undefined): string {
  if (outcome?.state === "delivered") return outcome.detail ?? "";
  if (outcome?.state === "refused") throw new Fault(outcome.code, outcome.reason);
  throw new Fault("PEER_AMBIGUOUS", outcome?.reason ?? "the peer gave no answer");
}

/** The received record that a delivery is about. */
export function receivedOf(site: Site, delivery: Delivery): Received {
  const record = recordOf(site, delivery);
  return { record, facts: record.entry as ReceivedFacts } as Received;
}

/** The channel that a delivery belongs to. */
export const channelOf = ({ config }: Site, delivery: Delivery): InboundChannel => {
  const channel = inboundChannels(config).find(({ name }) => name === delivery.channel);
  if (!channel) throw new Fault("CONFIG_INVALID", `channel ${delivery.channel} is no longer in run; put it back`);
  return channel;
};

/** How its channel delivers there. What says whose identity goes there is not to be guessed. */
export function ruleOf(site: Site, delivery: Delivery): InboundChannel["deliver"][number] {
  const { channel, destination } = delivery;
  const rule = channelOf(site, delivery).deliver.find(({ to }) => to === destination);
  if (!rule)
    throw new Fault(
      "CONFIG_INVALID",
      `channel ${channel} no longer delivers to ${destination}; put it back or discard`,
    );
  return rule;
}

/** The blob of a record's part n. */
export const partOf = (record: StoredRecord, n: number): BlobName => {
  const part = record.parts.find((each) => each.n === n);
  if (!part) throw new Fault("STORE_DAMAGED", `part ${n} of a record is missing; restore the store from a backup`);
  return part.blob;
};

/** A connector asks for octets once it has a connection: a crash before leaves nothing on the wire. */
async function* announced(onTheWire: () => Promise<void>, message: Uint8Array): AsyncGenerator<Uint8Array> {
  await onTheWire();
  yield* chunks(message);
}

async function* one<T>(value: T): AsyncGenerator<T> {
  yield value;
}
