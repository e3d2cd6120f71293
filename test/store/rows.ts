/** Rows for a store: each test says only what matters to it. */
import type { ArrivalRow, Delivery } from "../../store/store.ts";

export const arrivalRow = (id: string, change: Partial<ArrivalRow> = {}): ArrivalRow => ({
  id,
  source: "his",
  channel: null,
  mediaType: "application/hl7-v2",
  controlId: "C1",
  sender: "x",
  repetition: null,
  digest: "d",
  blob: null,
  state: "accepted",
  code: null,
  reason: null,
  receivedAt: new Date().toISOString(),
  facts: { name: "陳怡君" },
  ...change,
});

export const deliveryRow = (id: string, change: Partial<Delivery> = {}): Delivery => ({
  id,
  kind: "register",
  channel: "c",
  destination: "registry",
  order: null,
  record: null,
  state: "queued",
  attempts: 0,
  due: 0,
  code: null,
  reason: null,
  createdAt: new Date().toISOString(),
  payload: { patient: "A223456781" },
  ...change,
});
