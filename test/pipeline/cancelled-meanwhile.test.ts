/** A cancellation that comes while its report leaves, or is handed out: what is ahead of it on its way to the disk counts. */
import { createHash } from "node:crypto";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type Provide, routeSealed } from "../../pipeline/route.ts";
import { sealRecord } from "../../pipeline/seal.ts";
import type { Site } from "../../pipeline/site.ts";
import type { Assembled } from "../../pipeline/waiting-room.ts";
import type { Store } from "../../store/store.ts";
import { cancelFor, documents, mdmFor } from "../fixtures/documents.ts";
import { testPki, until } from "../sites.ts";
import { hisAlone } from "./his-alone.ts";
import { siteAlone } from "./site-alone.ts";

/** A house alone, and its report as a record that may leave. `seen`: the store as the house is to see it. */
async function withReport(ANSWER: string, seen: (opened: Store) => Store) {
  const data = mkdtempSync(join(tmpdir(), "semrs-cancelled-"));
  const site = await siteAlone({ PKI: await testPki(), DATA: data, ANSWER }, seen);
  const { store } = site;
  const { send, sendDocument } = hisAlone(site);
  const document = await sendDocument(mdmFor(documents["113"], { controlId: "M1", name: "DOC1^HIS" }), "M1");
  const channel = site.config.own.channels.find(({ name }) => name === document.channel);
  const assembled = { channel, document, instances: [], appends: false, closing: "quiet" };
  const sealed = await sealRecord(site, assembled as Partial<Assembled> as Assembled);
  const cancel = async (): Promise<void> => {
    await send(cancelFor("M2", "DOC1^HIS"), "M2");
    await until("judged", () => store.arrivals.list({ state: "accepted", limit: 1 }).length === 0);
  };
  const told = () => store.deliveries.list({ record: sealed.id, limit: 9 }).map(({ kind }) => kind);
  return { store, site, document, sealed, route: () => routeSealed(site, provideIn(site), sealed), cancel, told };
}

const provideIn =
  ({ store, config }: Site): Provide =>
  async ({ also, ...record }) => {
    const manifestSha256 = createHash("sha256").update(record.manifest).digest("hex");
    const own = { origin: "own", author: config.site, state: "stored", code: null, reason: null } as const;
    await store.commit([...store.records.add({ ...record, ...own, manifestSha256 }), ...also]);
  };

test.each(["validated", "stored"])("answer %s: a report whose record is being written is withdrawn", async (ANSWER) => {
  let ahead: (() => Promise<void>) | undefined;
  const { store, document, sealed, route, cancel, told } = await withReport(ANSWER, (opened) => ({
    ...opened,
    commit: async (...of) => {
      const first = ahead;
      // A message is kept before it is judged where that is its answer.
      if (ANSWER === "validated" || opened.arrivals.list({ state: "accepted", limit: 1 }).length > 0) {
        ahead = undefined;
        await first?.();
      }
      await opened.commit(...of);
    },
  }));
  ahead = route;
  await cancel();
  expect(store.items.find(document.id)?.state).toBe("sealed");
  expect(store.records.find(sealed.id)?.code).toBe("CANCELLED");
  expect(told()).toEqual(["register", "change"]);
  await store.close();
});

test("a house that is handed the report while its cancellation is written is told, though this one ends right after it", async () => {
  let record = "";
  const { store, sealed, route, cancel, told } = await withReport("validated", (opened) => ({
    ...opened,
    commit: async (...of) => {
      if (opened.records.find(record)?.code === "CANCELLED") throw new Error("it has ended");
      const handed = { subject: record, at: "2026", station: "repository", event: "released", peer: "hospital-b" };
      if (record !== "" && opened.steps.peers(record, "released").length === 0)
        await opened.commit([opened.steps.add(handed)]);
      await opened.commit(...of);
    },
  }));
  await route();
  record = sealed.id;
  await cancel();
  expect(told()).toEqual(["register", "change", "notify"]);
  await store.close();
});

test("what is added to a report while its cancellation is written does not leave", async () => {
  const { store, site, document, route, cancel } = await withReport("validated", (opened) => opened);
  await route();
  const gone = store.items.find(document.id) ?? document;
  const channel = site.config.own.channels.find(({ name }) => name === document.channel);
  const late = { channel, document: gone, instances: [], appends: true, closing: "quiet" };
  const addendum = await sealRecord(site, late as Partial<Assembled> as Assembled);
  await cancel();
  await expect(routeSealed(site, provideIn(site), addendum)).rejects.toMatchObject({ code: "STORE_CONFLICT" });
  expect(store.records.find(addendum.id)).toBeUndefined();
  await store.close();
});
