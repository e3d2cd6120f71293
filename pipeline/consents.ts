/**
 * What patients allow, told to the registry by a person of the house that gives their id (decision 16). A consent is a delivery,
 * sealed at rest like every other: those of one patient go in the order they were told, and are found again by the patient.
 */
import { hash } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { Fault } from "../errors.ts";
import { type Command, type PatientId, writeCommand } from "../formats/command.ts";
import { isUnderWay } from "../store/delivery.ts";
import type { Delivery, DeliveryState, Id, Token } from "../store/store.ts";
import { identifiedPatient } from "./audited.ts";
import type { Sent } from "./delivery.ts";
import { idText, ownerOf } from "./identifiers.ts";
import type { MergeFacts, ToldChange } from "./merge.ts";
import { newDelivery } from "./route.ts";
import { type Site, step } from "./site.ts";

/** To whom and which forms; left out: all. */
export type Consent = Pick<Extract<Command<"change">, { action: "consent" }>, "decision" | "orgs" | "forms">;

/** What is to be told, sealed in its delivery. */
type ConsentPayload = { readonly consent: Consent; readonly patientId: PatientId; readonly reason: string };

/** One that was told here; `state` is its delivery's: in force once it is delivered. */
export type ConsentLine = Consent & {
  readonly id: Id;
  readonly at: string;
  readonly state: DeliveryState;
  /** Why it was told, as who told it said. */
  readonly reason: string;
  /** Why it is not in force. */
  readonly why: string | null;
};

const maxLines = 100;

/** A consent for each of these ids of one patient; NOT_PERMITTED unless this house gives all of them. */
export async function tellConsent(
  site: Site,
  patientIds: readonly PatientId[],
  consent: Consent,
  reason: string,
): Promise<readonly { readonly id: Id; readonly state: DeliveryState }[]> {
  const { store, config, log } = site;
  if (!patientIds.every(({ root }) => ownerOf(config, root) === config.site))
    throw new Fault(
      "NOT_PERMITTED",
      "a consent is told by the house that gives the patient's id: name one of this house (identifiers, owner)",
    );
  const deliveries = patientIds.map((patientId): Delivery => {
    const payload: ConsentPayload = { consent, patientId, reason };
    const order = orderOf(site, patientId);
    return { ...newDelivery(site, "change", "", config.registryPartner), order, payload };
  });
  await store.commit(
    deliveries.flatMap((delivery, n) => [
      store.deliveries.add(delivery),
      step(site, delivery.id, "admin", "consented", { detail: consent.decision }),
      ...store.audit.add({
        event: "consent",
        subject: delivery.id,
        peer: "admin",
        code: consent.decision.toUpperCase(),
        reason,
        patients: identifiedPatient(site, patientIds.slice(n, n + 1)),
      }),
    ]),
  );
  site.wake();
  // Neither what a patient withholds nor why is the log's business.
  for (const { id } of deliveries) log("admin.consented", { message: id }, "warn");
  return deliveries.map(({ id, state }) => ({ id, state }));
}

/** What this house has told of a patient, under these ids or any that was merged with one, newest first: reading it is audited. */
export async function readConsents(
  site: Site,
  patientIds: readonly PatientId[],
  reason: string,
): Promise<readonly ConsentLine[]> {
  const { store } = site;
  const patients = identifiedPatient(site, patientIds);
  await store.commit(store.audit.add({ event: "read", peer: "admin", code: "CONSENT", reason, patients }));
  return toldOf(site, patientIds)
    .toSorted((one, other) => (one.id < other.id ? 1 : -1))
    .slice(0, maxLines)
    .map(lineOf);
}

/** What became of telling one; DOCUMENT_UNKNOWN where there is none of this id. */
export function consentTold({ store }: Site, id: Id): Pick<ConsentLine, "id" | "state" | "why"> {
  const delivery = store.deliveries.find(id);
  if (!delivery || !isConsenting(delivery)) throw new Fault("DOCUMENT_UNKNOWN", "no consent was told under this id");
  return { id, state: delivery.state, why: delivery.reason };
}

/** Consents that were told of a patient, under these ids or any that was merged with one. */
const toldOf = (site: Site, patientIds: readonly PatientId[]): readonly Delivery[] =>
  [...ordersOf(site, patientIds)].flatMap((order) => site.store.deliveries.changes(order, maxLines));

function ordersOf(site: Site, patientIds: readonly PatientId[]): ReadonlySet<Token> {
  const { tokens, merges } = site.store;
  const merged = merges
    .of(patientIds.map(({ root, extension }) => tokens.of("patient", root, extension)))
    .map(({ facts }) => facts as MergeFacts);
  const ids = [...patientIds, ...merged.flatMap(({ prior, surviving }) => [prior, surviving])];
  return new Set(ids.map((id) => orderOf(site, id)));
}

/** Keys of all consents of the patient whom this one is of. */
export const ordersLike = (site: Site, { payload }: Delivery): ReadonlySet<Token> =>
  ordersOf(site, [(payload as ConsentPayload).patientId]);

const orderOf = ({ store }: Site, id: PatientId): Token => store.tokens.of("patient", "consent", idText(id));

function lineOf({ id, createdAt: at, state, payload, reason: why }: Delivery): ConsentLine {
  const { consent, reason } = payload as ConsentPayload;
  return { id, at, state, ...consent, reason, why };
}

/** Whether a `change` delivery tells of a consent. */
export const isConsenting = ({ payload }: Delivery): boolean =>
  (payload as Partial<ConsentPayload> | null)?.consent !== undefined;

/** What the registry is told: the decision, its houses and forms, for one id of the patient. */
export function toldOfConsent(site: Site, { payload }: Delivery): ToldChange {
  const { consent, patientId } = payload as ConsentPayload;
  const command = writeCommand<"change">({
    command: "change",
    action: "consent",
    patientIds: [patientId],
    decision: consent.decision,
    ...(consent.orgs ? { orgs: consent.orgs } : {}),
    ...(consent.forms ? { forms: consent.forms } : {}),
  });
  const named = hash("sha256", command);
  return { command, named, event: "consented", audit: { patients: identifiedPatient(site, [patientId]) } };
}

/**
 * One that was parked, and is released after a later one of its patient was told, would stand above it at the registry. PEER_BUSY
 * while an earlier one waits that says something else and was told under another of the patient's ids: of that the queue does not know.
 */
export function isOvertaken(site: Site, { id, payload }: Delivery): boolean {
  const { patientId, consent } = payload as ConsentPayload;
  const told = toldOf(site, [patientId]);
  if (told.some((later) => later.id > id && later.state === "delivered")) return true;
  const waiting = told.filter((earlier) => earlier.id < id && isUnderWay(earlier));
  if (waiting.some((earlier) => !isDeepStrictEqual((earlier.payload as ConsentPayload).consent, consent)))
    throw new Fault("PEER_BUSY", "an earlier consent of this patient is told first");
  return false;
}

/** How a consent ends that a later one stands above. */
export const overtaken: Sent = {
  changes: [],
  event: "overtaken",
  ended: {
    state: "discarded",
    code: "STORE_CONFLICT",
    reason: "a later consent of this patient is in force; tell it anew",
  },
};
