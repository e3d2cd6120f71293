/** A report that is handed out while what replaces it is written: who gets it is told, though this house ends right after it. */
import { createHash } from "node:crypto";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { noticesWith, tellReplacedSince } from "../../pipeline/correction.ts";
import { newDelivery, type Provide, routeSealed } from "../../pipeline/route.ts";
import { sealRecord } from "../../pipeline/seal.ts";
import type { Site } from "../../pipeline/site.ts";
import type { Assembled } from "../../pipeline/waiting-room.ts";
import type { Change, Item } from "../../store/store.ts";
import { cda, chen, mdmFor } from "../fixtures/documents.ts";
import { testPki } from "../sites.ts";
import { hisAlone } from "./his-alone.ts";
import { siteAlone } from "./site-alone.ts";

const report = (extension: string): Uint8Array =>
  cda({ form: "113", extension, patient: chen, code: "11502-2", display: "x", title: "t", body: "x" });

/** A house alone, with a report that has left and what replaces it, sealed. `ahead`: what is committed ahead of the next commits, one each. */
async function withReplacement() {
  const data = mkdtempSync(join(tmpdir(), "semrs-replaced-"));
  const ahead: (() => readonly Change[])[] = [];
  const site = await siteAlone({ PKI: await testPki(), DATA: data, ANSWER: "validated" }, (opened) => ({
    ...opened,
    commit: async (...of) => {
      const first = ahead.shift();
      if (first) await opened.commit(first());
      await opened.commit(...of);
    },
  }));
  const { store } = site;
  const { sendDocument } = hisAlone(site);
  const before = await sealed(
    site,
    await sendDocument(mdmFor(report("R.1"), { controlId: "M1", name: "D1^HIS" }), "M1"),
  );
  await route(site, before);
  const names = { controlId: "M2", event: "MDM^T10^MDM_T02", name: "D2^HIS", parent: "D1^HIS" };
  const after = await sealed(site, await sendDocument(mdmFor(report("R.2"), names), "M2"));
  const told = () =>
    store.deliveries
      .list({ record: after.id, limit: 9 })
      .filter(({ kind }) => kind === "notify")
      .map(({ destination }) => destination);
  const handed = (peer: string): Change =>
    store.steps.add({ subject: before.id, at: "2026", station: "repository", event: "released", peer });
  return { site, before, after, ahead, handed, told };
}

async function sealed(site: Site, document: Item) {
  const channel = site.config.own.channels.find(({ name }) => name === document.channel);
  const assembled = { channel, document, instances: [], appends: false, closing: "quiet" };
  return await sealRecord(site, assembled as Partial<Assembled> as Assembled);
}

const route = (site: Site, record: Awaited<ReturnType<typeof sealed>>): Promise<void> => {
  const { store, config } = site;
  const provide: Provide = async ({ also, ...rest }) => {
    const manifestSha256 = createHash("sha256").update(rest.manifest).digest("hex");
    const own = { origin: "own", author: config.site, state: "stored", code: null, reason: null } as const;
    await store.commit([...store.records.add({ ...rest, ...own, manifestSha256 }), ...also]);
  };
  return routeSealed(site, provide, record, () => noticesWith(site, record));
};

test("houses that are handed it one after the other", async () => {
  const { site, after, ahead, handed, told } = await withReplacement();
  ahead.push(
    () => [handed("hospital-b")],
    () => [handed("hospital-c")],
  );
  await route(site, after);
  expect(told().sort()).toEqual(["hospital-b", "hospital-c"]);
  await site.store.close();
});

test("a house that it is being pushed to", async () => {
  const { site, before, after, ahead, told } = await withReplacement();
  const { deliveries } = site.store;
  const push = { ...newDelivery(site, "push", before.channel.name, "hospital-b"), record: before.id };
  await site.store.commit([deliveries.add(push)]);
  ahead.push(() => [deliveries.take(push.id, 1)]);
  await route(site, after);
  expect(told()).toEqual(["hospital-b"]);
  await site.store.close();
});

test("a house that asks for it once it is replaced is told before it gets it", async () => {
  const { site, before, after, handed, told } = await withReplacement();
  await route(site, after);
  expect(told()).toEqual([]);
  await site.store.commit([handed("hospital-b")]);
  await tellReplacedSince(site, before.key);
  expect(told()).toEqual(["hospital-b"]);
  await tellReplacedSince(site, before.key);
  expect(told()).toEqual(["hospital-b"]);
  await site.store.close();
});
