/** Records as retention meets them, and a retention of one channel over the store of a test. */
import { openRetention } from "../pipeline/retention.ts";
import type { Site } from "../pipeline/site.ts";
import type { Delivery, Id, RecordState } from "../store/store.ts";
import { arrival, delivery, store } from "./store/fresh.ts";

export const dayMs = 86_400_000;
export const name = "陳怡君";
export const daysAgo = (days: number): string => new Date(Date.now() - days * dayMs).toISOString();
export const retentionOf = (
  retention: { for?: number; size?: number },
  told: string[] = [],
  now = () => new Date(),
  steady = () => performance.now(),
) =>
  openRetention(
    {
      store,
      config: {
        own: {
          channels: [{ name: "documents", retention }],
          retention: { refused: {}, filtered: {}, done: {}, discarded: {}, audit: {} },
        },
      },
      log: (event: string) => told.push(event),
      now,
    } as unknown as Site,
    steady,
  );

export type Kept = { days: number; blob: string; body?: string; delivered?: Delivery["state"]; state?: RecordState };

/** A record of one document, its arrival and its delivery. */
export async function record({ days, blob, body, delivered = "delivered", state = "registered" }: Kept): Promise<Id> {
  const [id, item, came] = [
    store.newId(),
    store.newId(),
    arrival({ state: "done", channel: "documents", blob: body ?? null }),
  ];
  const [patient, join] = [store.tokens.of("patient", "x", name), store.tokens.of("reference", "", id)];
  const entry = { uniqueId: `1.2.3^${id}`, title: name, author: name, patientIds: [{ root: "1", extension: name }] };
  await store.commit([
    store.arrivals.add(came),
    ...store.items.add({
      ...{ id: item, kind: "document", arrival: came.id, channel: "documents", key: id, digest: id, blob },
      ...{ joins: [join], patients: [patient], state: "sealed", code: null, reason: null, since: daysAgo(days) },
      ...{ record: id, facts: { messageType: "113", entry, extensions: [name], event: "new", refers: false } },
    }),
    ...store.records.add({
      ...{ id, channel: "documents", origin: "own", author: "a", manifest: Buffer.from(name), key: id, state },
      ...{ signature: Buffer.from("signed"), manifestSha256: id, parts: [{ n: 1, blob }], patients: [patient] },
      ...{ code: null, reason: null, entry, createdAt: daysAgo(days) },
    }),
    store.deliveries.add(delivery({ record: id, state: delivered, order: patient, channel: "documents" })),
  ]);
  return id;
}
export const isShredded = (id: Id): boolean => store.records.find(id)?.parts.length === 0;
