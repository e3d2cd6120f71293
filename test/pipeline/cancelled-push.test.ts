/** A cancellation that comes while its report goes onto the wire to a partner: the partner is told of it. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { newDelivery } from "../../pipeline/route.ts";
import type { Change, Delivery, Store } from "../../store/store.ts";
import { cancelFor, documents, mdmFor } from "../fixtures/documents.ts";
import { testPki } from "../sites.ts";
import { hisAlone } from "./his-alone.ts";
import { siteAlone } from "./site-alone.ts";

/** A house alone with a report that left. `commit`: as its store is to commit. */
async function withReport(commit: (opened: Store) => Store["commit"] = ({ commit }) => commit) {
  const data = mkdtempSync(join(tmpdir(), "semrs-cancelled-push-"));
  const site = await siteAlone({ PKI: await testPki(), DATA: data, ANSWER: "validated" }, (opened) => ({
    ...opened,
    commit: commit(opened),
  }));
  const { store } = site;
  const { send, sendDocument } = hisAlone(site);
  const document = await sendDocument(mdmFor(documents["113"], { controlId: "M1", name: "DOC1^HIS" }), "M1");
  const id = store.newId();
  const { key, channel, patients, facts } = document;
  const { entry } = facts as { entry: unknown };
  const own = { origin: "own", author: site.config.site, state: "stored", code: null, reason: null } as const;
  const octets = new Uint8Array(1);
  const sealed = { manifest: octets, signature: octets, manifestSha256: "0".repeat(64), parts: [] };
  await store.commit([
    ...store.records.add({ ...own, ...sealed, id, channel, key, patients, entry, createdAt: site.now().toISOString() }),
    ...store.items.seal([document.id], id),
  ]);
  const pushTo = (house: string): Delivery => ({ ...newDelivery(site, "push", channel, house), record: id });
  const told = () => store.deliveries.list({ record: id, limit: 9 }).filter(({ kind }) => kind === "notify");
  return { site, store, send, pushTo, told };
}

test("a push that was not answered, and that a person ended: its house is told", async () => {
  const { site, store, send, pushTo, told } = await withReport();
  const [unanswered, unreached] = [pushTo("hospital-b"), pushTo("hospital-c")];
  const failed = {
    subject: unanswered.record ?? "",
    at: site.now().toISOString(),
    station: "route",
    event: "deferred",
  };
  await store.commit([
    ...[unanswered, unreached].map((push) => store.deliveries.add({ ...push, state: "discarded", attempts: 1 })),
    store.steps.add({ ...failed, peer: "hospital-b", code: "PEER_AMBIGUOUS" }),
    store.steps.add({ ...failed, peer: "hospital-c", code: "PEER_UNREACHABLE" }),
  ]);
  await send(cancelFor("M2", "DOC1^HIS"), "M2");
  expect(told().map(({ destination }) => destination)).toEqual(["hospital-b"]);
  await store.close();
});

test("every push that began before the cancellation was kept goes on, and its house is told", async () => {
  /** What is committed ahead of the next verdicts that cancel, one each. */
  const ahead: (() => readonly Change[])[] = [];
  const { store, send, pushTo, told } = await withReport((opened) => async (...of) => {
    const first = JSON.stringify(of[0]).includes("its report was cancelled") ? ahead.shift() : undefined;
    if (first) await opened.commit(first());
    await opened.commit(...of);
  });
  const houses = ["hospital-b", "hospital-c", "hospital-d", "hospital-e"];
  const pushes = houses.map(pushTo);
  await store.commit(pushes.map(store.deliveries.add));
  // The first begins before the first verdict is kept, the second before the next one, and so on.
  ahead.push(...pushes.slice(0, 3).map((push) => () => [store.deliveries.take(push.id, 1)]));
  await send(cancelFor("M2", "DOC1^HIS"), "M2");
  expect(ahead).toEqual([]);
  expect(pushes.map((push) => store.deliveries.stateOf(push.id))).toEqual([
    "inflight",
    "inflight",
    "inflight",
    "discarded",
  ]);
  expect(told().map(({ destination }) => destination)).toEqual(houses.slice(0, 3));
  await store.close();
});
