/** What the author of a record that this house has says of it later (decision 9): HIS B gets its cancellation, or the record that replaces it. */
import type { Command, Registered } from "../formats/command.ts";
import type { Change, StoredRecord } from "../store/store.ts";
import { cancelled } from "./correction.ts";
import type { RetrievePayload } from "./fetch.ts";
import { identified } from "./patient.ts";
import { sealedBy } from "./remembered.ts";
import { newDelivery } from "./route.ts";
import { type Site, step } from "./site.ts";

const maxDeliveries = 100;

/** Keeps what a correction asks for in one commit with its receipt. Only what its sender sealed is corrected. */
export async function receiveCorrection(
  site: Site,
  org: string,
  { uniqueId, manifestSha256, by }: Command<"correction">,
  changes: readonly Change[],
): Promise<void> {
  const { store, now } = site;
  // Pushed and retrieved records have manifests of their own; an author has one document under one id.
  const held = store.records
    .byKey(store.tokens.of("document", "", uniqueId))
    .filter((each) => each.origin === "received" && each.author === org);
  // What is on its way here is dropped when it is due.
  const remembered =
    by === null ? [store.messages.took("withdrawn", sealedBy(org, manifestSha256), now().toISOString())] : [];
  const corrected = held
    .filter(({ code }) => by !== null || code !== cancelled)
    .flatMap((record) => (by ? replacedBy(site, org, record, by) : cancel(site, record)));
  await store.commit([...changes, ...remembered, ...corrected]);
  site.log(by ? "open.replaced" : "open.cancelled", { peer: org, message: held[0]?.id ?? "", count: held.length });
  site.wake();
}

/** Whether an author has withdrawn a record that was asked for. */
export const isWithdrawn = (
  { store }: Site,
  { org, manifestSha256 }: Pick<Registered, "org" | "manifestSha256">,
): boolean => store.messages.hasTaken("withdrawn", sealedBy(org, manifestSha256));

/** A HIS that has the document, or is getting it, gets the cancellation after it; what nobody has yet ends. */
function cancel(site: Site, record: StoredRecord): readonly Change[] {
  const { store } = site;
  const deliveries = store.deliveries.list({ record: record.id, limit: maxDeliveries });
  const reason = "cancelled by its author";
  return [
    store.records.mark(record.id, { code: cancelled, reason }),
    step(site, record.id, "open", "cancelled", { peer: record.author, code: cancelled }),
    ...deliveries
      .filter(({ kind, state }) => kind === "identify" && state !== "delivered" && state !== "discarded")
      .map(({ id }) => store.deliveries.mark(id, { state: "discarded", code: cancelled, reason })),
    ...deliveries
      .filter(({ kind, state, payload }) => kind === "message" && state !== "discarded" && !isCancellation(payload))
      .map(({ channel, destination, order }) =>
        store.deliveries.add({
          ...newDelivery(site, "message", channel, destination),
          record: record.id,
          order,
          payload: { isCancellation: true },
        }),
      ),
  ];
}

/** Whether a message delivery tells of a cancellation. */
export const isCancellation = (payload: unknown): boolean =>
  (payload as { isCancellation?: true } | null)?.isCancellation === true;

/** The record that replaces is asked for as an entry of the registry would be, for the patient whose it was. */
function replacedBy(
  site: Site,
  org: string,
  record: StoredRecord,
  { entry, manifestSha256 }: NonNullable<Command<"correction">["by"]>,
): readonly Change[] {
  const { store, now } = site;
  if (store.messages.hasTaken("retrieval", sealedBy(org, manifestSha256))) return [];
  const at = now().toISOString();
  const registered = { id: store.newId(), org, registeredAt: at, manifestSha256, entry };
  const payload: RetrievePayload = { registered, admission: identified(site, record.id)?.admission ?? null };
  return [
    store.deliveries.add({ ...newDelivery(site, "retrieve", record.channel, org), payload }),
    store.messages.took("retrieval", sealedBy(org, manifestSha256), at),
    step(site, record.id, "open", "replaced", { peer: org }),
  ];
}
