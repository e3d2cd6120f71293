/** A cancellation at the house that has the report: what is kept, or begins, ahead of it on its way to the disk is cancelled in one commit with it. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { isCancellation, receiveCorrection } from "../../pipeline/corrected.ts";
import { newDelivery } from "../../pipeline/route.ts";
import type { Change, Delivery, StoredRecord } from "../../store/store.ts";
import { testPki } from "../sites.ts";
import { siteAlone } from "./site-alone.ts";

/** Hospital B, which ends after its first commit, and has committed `ahead` before that. */
async function cancelled(before: (has: Has) => readonly Change[], ahead: (has: Has) => readonly Change[]) {
  const data = mkdtempSync(join(tmpdir(), "semrs-ahead-"));
  let [isMet, isOver] = [true, false];
  let first: readonly Change[] = [];
  const site = await siteAlone({ PKI: await testPki(), SITE: "hospital-b", DATA: data }, (opened) => ({
    ...opened,
    commit: async (...of) => {
      if (isOver) throw new Error("it has ended");
      if (!isMet) await opened.commit(first);
      first = [];
      await opened.commit(...of);
      isOver = !isMet;
    },
  }));
  const { store } = site;
  const id = store.newId();
  const octets = new Uint8Array(1);
  const sealed = { manifest: octets, signature: octets, manifestSha256: "0".repeat(64), parts: [], patients: [] };
  const record: StoredRecord = {
    ...{ id, channel: "incoming", origin: "received", author: "hospital-a", state: "opened", code: null, reason: null },
    ...{ ...sealed, key: store.tokens.of("document", "", "1.2.3"), entry: null, createdAt: site.now().toISOString() },
  };
  const identify = { ...newDelivery(site, "identify", "incoming", "hospital-b"), record: id };
  const message = { ...newDelivery(site, "message", "incoming", "his"), record: id };
  const has = { record: store.records.add(record), identify, message, deliveries: store.deliveries };
  await store.commit(before(has));
  first = ahead(has);
  isMet = false;
  await receiveCorrection(
    site,
    "hospital-a",
    { command: "correction", uniqueId: "1.2.3", manifestSha256: "", by: null },
    [],
  );
  const deliveries = store.deliveries.list({ record: id, limit: 9 });
  const kept = {
    code: store.records.find(id)?.code,
    deliveries: deliveries.map(({ kind, state }) => `${kind} ${state}`),
    isTold: deliveries.some(({ payload }) => isCancellation(payload)),
  };
  await store.close();
  return kept;
}
type Has = {
  readonly record: readonly Change[];
  readonly identify: Delivery;
  readonly message: Delivery;
  readonly deliveries: { add(delivery: Delivery): Change; mark(id: string, as: { state: "delivered" }): Change };
};

test("a report that is kept meanwhile", async () => {
  const kept = await cancelled(
    () => [],
    ({ record, message, deliveries }) => [...record, deliveries.add(message)],
  );
  expect(kept).toEqual({ code: "CANCELLED", deliveries: ["message queued", "message queued"], isTold: true });
});

test("a report whose patient is found meanwhile", async () => {
  const kept = await cancelled(
    ({ record, identify, deliveries }) => [...record, deliveries.add(identify)],
    ({ identify, message, deliveries }) => [
      deliveries.mark(identify.id, { state: "delivered" }),
      deliveries.add(message),
    ],
  );
  expect(kept).toEqual({
    code: "CANCELLED",
    deliveries: ["identify delivered", "message queued", "message queued"],
    isTold: true,
  });
});
