/** Station `fetch`: a patient comes to us, the registry is asked who holds what, and each record is asked for (paper steps 4 to 6). */
import { contentOf } from "../envelope/index.ts";
import { Fault } from "../errors.ts";
import {
  commandMediaType,
  type Draft,
  maxPatientIds,
  type PatientId,
  type Registered,
  readCommand,
  writeCommand,
} from "../formats/command.ts";
import type { DocumentEntry } from "../formats/document-entry.ts";
import { patientIdentifiers } from "../formats/hl7.ts";
import { admittedPatient } from "../formats/hl7-patient.ts";
import type { Change, Delivery, Id, Token } from "../store/store.ts";
import { identifiedPatient } from "./audited.ts";
import { inboundChannels } from "./channels.ts";
import type { InboundChannel } from "./config.ts";
import type { Sent } from "./delivery.ts";
import { idText, patientIdsOf } from "./identifiers.ts";
import { identifyHeld } from "./identify.ts";
import { currently } from "./merge.ts";
import type { ReceivedFacts } from "./open.ts";
import { ask, partOne } from "./partner.ts";
import type { Admission } from "./patient.ts";
import { ledgers, sealedBy } from "./remembered.ts";
import { newDelivery } from "./route.ts";
import { msSince, type Site, step } from "./site.ts";
import type { SpooledMessage } from "./verdicts.ts";

/** What a query asks for, sealed in its delivery. */
export type FetchPayload = {
  readonly patientIds: readonly PatientId[];
  readonly admission: Admission | null;
  /** The admission's message, whose trace tells what was answered. */
  readonly message?: Id;
  /** Why it is asked past consent, where it is. */
  readonly emergency?: string;
};
/** What a retrieval asks for, sealed in its delivery. */
export type RetrievePayload = { readonly registered: Registered; readonly admission: Admission | null };

/** An admission: ask now, and again a little later for what is still being registered; undefined where nobody else could know its patient. */
export function admit(
  site: Site,
  channel: InboundChannel,
  { again, every }: { readonly again: readonly number[]; readonly every: number },
  message: SpooledMessage,
): readonly Change[] | undefined {
  const { ids, unmapped } = patientIdsOf(site.config, patientIdentifiers(message.bytes, message.facts));
  if (unmapped > 0) {
    const reason = "PID-3 names an authority without an OID; add it under identifiers";
    site.log("fetch.warned", { channel: channel.name, message: message.id, count: unmapped, reason }, "warn");
  }
  if (ids.length === 0) return undefined;
  const admission: Admission = { ids, patient: admittedPatient(message.bytes, message.facts) };
  const order = patientOrder(site, ids);
  const [last] = site.store.deliveries.fetches(order, 1);
  // One that was asked for in the future was so by a clock that was wrong.
  const since = site.now().getTime() - Date.parse(last?.createdAt ?? "");
  const isAsked = last?.state !== "discarded" && Math.abs(since) < every;
  const asking = isAsked
    ? []
    : request(site, channel, { patientIds: ids, admission, message: message.id }, again, order);
  return [...asking, ...identifyHeld(site, admission)];
}

/** Fetches for one patient, whatever the order of the ids in PID-3. */
const patientOrder = ({ store }: Site, ids: readonly PatientId[]): Token =>
  store.tokens.of("patient", "fetch", ids.map(idText).sort().join("~"));

const maxFetches = 64;
/** Those of a registry that is away for hours, in a house of a thousand admissions a day. */
const maxLooked = 2_000;

/** An admission was taken back: what was not asked for yet is not asked for. */
export function cancelAdmission(site: Site, message: SpooledMessage): readonly Change[] {
  const { deliveries } = site.store;
  const { ids } = patientIdsOf(site.config, patientIdentifiers(message.bytes, message.facts));
  const same = deliveries
    .fetches(patientOrder(site, ids), maxFetches)
    .filter(({ state }) => state === "queued" || state === "ambiguous" || state === "parked");
  const waiting = same.length > 0 ? same : sharing(site, ids);
  return waiting.flatMap(({ id }) => [
    deliveries.mark(id, { state: "discarded", reason: "the admission was taken back" }),
    step(site, id, "fetch", "discarded", { detail: "ADT^A11" }),
  ]);
}

/** Fetches of an admission that has an id in common, its merges included: what takes one back may name fewer than the admission did. */
function sharing(site: Site, ids: readonly PatientId[]): readonly Delivery[] {
  const { deliveries } = site.store;
  const named = new Set(ids.map(idText));
  return [...deliveries.waitingFetches(maxLooked), ...deliveries.parked("fetch", maxLooked)].filter((delivery) => {
    const { admission, patientIds } = askedFor(site, delivery);
    return admission !== null && patientIds.some((id) => named.has(idText(id)));
  });
}

/** Queries for one patient: now and after each of `again` (milliseconds). */
function request(
  site: Site,
  channel: InboundChannel,
  payload: FetchPayload,
  again: readonly number[],
  order: Token,
): readonly Change[] {
  return [0, ...again].map((later) => {
    const delivery = newDelivery(site, "fetch", channel.name, site.config.registryPartner);
    return site.store.deliveries.add({ ...delivery, due: delivery.due + later, order, payload });
  });
}

/** Pages of one answer: of a patient with half a million entries. */
const maxPages = 100;

/** Steps 4 and 5: one query for each rule; every entry that is new to us becomes a retrieval. */
export async function query(site: Site, delivery: Delivery): Promise<Sent> {
  const { store, now } = site;
  const { patientIds, admission, message, emergency } = askedFor(site, delivery);
  const channel = inboundChannel(site, delivery.channel);
  const changes: Change[] = [];
  const all = new Map<string, Registered>();
  let found = 0;
  for (const rule of channel.fetch.rules) {
    const since = new Date(now().getTime() - rule.since).toISOString();
    const { entries, kept } = await pages(site, delivery, channel, rule.latest, {
      command: "query",
      query: "findDocuments",
      patientIds: [...patientIds],
      forms: [...rule.documents],
      registered: { from: since },
      ...(emergency === undefined
        ? { purposeOfUse: channel.fetch.purpose }
        : { purposeOfUse: "ETREAT", reason: emergency }),
    });
    found += entries.length;
    changes.push(...kept);
    for (const registered of entries) all.set(registered.id, registered);
  }
  const asked = parentsFirst([...all.values()]).filter(({ registered }) => !isKnown(site, registered));
  for (const { registered, first } of asked) {
    const retrieval = newDelivery(site, "retrieve", channel.name, registered.entry.repositoryUniqueId);
    const order = store.tokens.of("document", "", first);
    const payload: RetrievePayload = { registered, admission };
    changes.push(
      store.deliveries.add({ ...retrieval, order, payload }),
      store.messages.took(ledgers.retrieval, sealedBy(registered.org, registered.manifestSha256), now().toISOString()),
    );
  }
  // What was pushed since the patient came waits for whoever asks.
  if (admission) changes.push(...identifyHeld(site, admission, "unasked"));
  const audit = { patients: identifiedPatient(site, patientIds), count: found };
  const detail = `${found} entries, ${asked.length} new`;
  if (message) changes.push(step(site, message, "fetch", "answered", { peer: delivery.destination, detail }));
  return { changes, event: "answered", answer: detail, audit };
}

/**
 * As they are, but for documents and their addenda, which are asked for one after the other, the document first, named in an earlier
 * answer perhaps; `first` is the document that an addendum, and what is added to that, is in the end about.
 */
function parentsFirst(
  entries: readonly Registered[],
): readonly { readonly registered: Registered; readonly first: string }[] {
  const byName = new Map(entries.map((each) => [`${each.org} ${each.entry.uniqueId}`, each]));
  const appended = ({ entry }: Registered): string | undefined =>
    entry.relatedDocuments.find(({ type }) => type === "APND")?.uniqueId;
  const lines = new Map(
    entries.map((each) => {
      const line = new Set([each]);
      for (const one of line) {
        const parent = byName.get(`${one.org} ${appended(one)}`);
        if (parent) line.add(parent);
      }
      return [each, [...line].reverse()];
    }),
  );
  return [...new Set([...lines.values()].flat())].map((registered) => {
    const [top = registered] = lines.get(registered) ?? [];
    return { registered, first: appended(top) ?? top.entry.uniqueId };
  });
}

/** The newest entries that a question is for. A page may be short, even empty, and have another one behind it. */
async function pages(
  site: Site,
  { id: message, destination: peer }: Delivery,
  { name: channel }: InboundChannel,
  latest: number,
  question: Draft<"query">,
): Promise<{ readonly entries: readonly Registered[]; readonly kept: readonly Change[] }> {
  const entries: Registered[] = [];
  const kept: Change[] = [];
  let cursor: string | null | undefined;
  for (let page = 0; page < maxPages && cursor !== null && entries.length < latest; page += 1) {
    const started = performance.now();
    const rest = { limit: latest - entries.length, ...(cursor ? { cursor } : {}) };
    const command = writeCommand<"query">({ ...question, ...rest });
    site.log("fetch.queried", { channel, message, peer, bytes: command.length });
    const asked = await ask(site, peer, {
      path: "/registry/queries",
      purpose: "query",
      message: site.store.newId(),
      messageType: "query",
      content: [await contentOf(command, "command", commandMediaType)],
      answers: ["response"],
    });
    if (!asked.answer) throw new Fault("PEER_REFUSED", `${peer} answered a query without entries`);
    const found = readCommand("found", await partOne(asked.answer));
    const ms = msSince(started);
    site.log("fetch.answered", { channel, message, peer, count: found.entries.length, ms });
    entries.push(...found.entries);
    kept.push(...asked.kept);
    cursor = found.next;
  }
  return { entries, kept };
}

/** As the delivery says, with the ids of the patient into whom theirs was merged since. */
function askedFor(site: Site, { payload }: Delivery): FetchPayload {
  const { patientIds, admission, ...asked } = payload as FetchPayload;
  const all = [...patientIds, ...(admission ? currently(site, admission).ids : [])];
  const distinct = new Map(all.map((id) => [idText(id), id])).values();
  return { patientIds: [...distinct].slice(0, maxPatientIds), admission, ...asked };
}

/** Ours, asked for already, or here by another way. */
function isKnown(site: Site, registered: Registered): boolean {
  const { org, manifestSha256 } = registered;
  if (org === site.config.site || site.store.messages.hasTaken(ledgers.retrieval, sealedBy(org, manifestSha256)))
    return true;
  return isHere(site, registered);
}

/** Whether the document is kept already: as ours, as its author registered it, or pushed, which has a manifest of its own. */
export const isHere = ({ store }: Site, { org, manifestSha256, entry }: Registered): boolean =>
  store.records.byKey(store.tokens.of("document", "", entry.uniqueId)).some((record) => {
    if (record.origin === "own") return (record.entry as DocumentEntry).hash === entry.hash;
    const { entry: held, profile } = record.entry as Partial<ReceivedFacts>;
    // The images of one that came in semrs-2017 are not signed.
    const isSame = profile === undefined && held?.hash === entry.hash;
    return record.author === org && (record.manifestSha256 === manifestSha256 || isSame);
  });

/** By its name; CONFIG_INVALID where it is in run no more. */
export function inboundChannel(site: Site, name: string): InboundChannel {
  const channel = inboundChannels(site.config).find((each) => each.name === name);
  if (!channel)
    throw new Fault("CONFIG_INVALID", `channel ${name} is no longer in run; put it back or discard what waits for it`);
  return channel;
}
