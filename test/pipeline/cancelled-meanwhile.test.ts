/** A cancellation that comes while its report leaves: the record that is ahead of it on its way to the disk is withdrawn. */
import { createHash } from "node:crypto";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type Provide, routeSealed } from "../../pipeline/route.ts";
import { sealRecord } from "../../pipeline/seal.ts";
import type { Assembled } from "../../pipeline/waiting-room.ts";
import { cancelFor, documents, mdmFor } from "../fixtures/documents.ts";
import { testPki, until } from "../sites.ts";
import { hisAlone } from "./his-alone.ts";
import { siteAlone } from "./site-alone.ts";

test.each(["validated", "stored"])("answer %s: a report whose record is being written is withdrawn", async (ANSWER) => {
  const data = mkdtempSync(join(tmpdir(), "semrs-cancelled-"));
  let ahead: (() => Promise<void>) | undefined;
  const site = await siteAlone({ PKI: await testPki(), DATA: data, ANSWER }, (opened) => ({
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
  const { store } = site;
  const { send, sendDocument } = hisAlone(site);
  const document = await sendDocument(mdmFor(documents["113"], { controlId: "M1", name: "DOC1^HIS" }), "M1");
  const channel = site.config.own.channels.find(({ name }) => name === document.channel);
  const assembled = { channel, document, instances: [], appends: false, closing: "quiet" };
  const sealed = await sealRecord(site, assembled as Partial<Assembled> as Assembled);
  const provide: Provide = async ({ also, ...record }) => {
    const manifestSha256 = createHash("sha256").update(record.manifest).digest("hex");
    const own = { origin: "own", author: site.config.site, state: "stored", code: null, reason: null } as const;
    await store.commit([...store.records.add({ ...record, ...own, manifestSha256 }), ...also]);
  };
  ahead = () => routeSealed(site, provide, sealed);
  await send(cancelFor("M2", "DOC1^HIS"), "M2");
  await until("judged", () => store.arrivals.list({ state: "accepted", limit: 1 }).length === 0);
  expect(store.items.find(document.id)?.state).toBe("sealed");
  expect(store.records.find(sealed.id)?.code).toBe("CANCELLED");
  const told = store.deliveries.list({ record: sealed.id, limit: 9 }).map(({ kind }) => kind);
  expect(told).toEqual(["register", "change"]);
  await store.close();
});
