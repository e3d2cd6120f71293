/** A cancellation without PID is judged behind what came before it of its document. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { expect, test } from "vitest";
import { endIfCancelled } from "../../pipeline/correction.ts";
import { cancelFor, cda, chen, mdmFor } from "../fixtures/documents.ts";
import { testPki } from "../sites.ts";
import { hisAlone } from "./his-alone.ts";
import { siteAlone } from "./site-alone.ts";

const report = (extension: string): Uint8Array =>
  cda({ form: "113", extension, patient: chen, code: "11502-2", display: "x", title: "t", body: "x" });
const withoutPid = (message: Uint8Array): Uint8Array =>
  Buffer.from(
    Buffer.from(message)
      .toString("utf8")
      .replace(/\rPID[^\r]*/, ""),
  );
/** Of the event loop: a verdict that waits for nothing is there by far. */
const turns = 2_000;

test("all versions of a report that came before it under its name are cancelled", async () => {
  const data = mkdtempSync(join(tmpdir(), "semrs-in-turn-"));
  let [isFirst, isCancelled] = [true, false];
  const sent = Promise.withResolvers<void>();
  const site = await siteAlone({ PKI: await testPki(), DATA: data, ANSWER: "validated" }, (opened) => ({
    ...opened,
    commit: async (...of) => {
      // The first version is slow on its way to the disk.
      if (isFirst) {
        isFirst = false;
        await sent.promise;
        for (let n = 0; n < turns && !isCancelled; n += 1) await turn();
      }
      await opened.commit(...of);
    },
  }));
  const { store } = site;
  const { send } = hisAlone(site);
  const names = { event: "MDM^T10^MDM_T02", name: "DOC^HIS", parent: "DOC^HIS" };
  const all = [
    send(mdmFor(report("V.1"), { controlId: "M1", name: "DOC^HIS" }), "M1"),
    send(mdmFor(report("V.2"), { controlId: "M2", ...names }), "M2"),
    send(withoutPid(cancelFor("M3", "DOC^HIS")), "M3").then(() => {
      isCancelled = true;
    }),
  ];
  sent.resolve();
  await Promise.all(all);
  const items = store.items.list({ state: "waiting", kind: "document", limit: 9 });
  expect(items).toEqual([]);
  expect(
    store.arrivals
      .list({ limit: 9 })
      .map(({ controlId, code }) => `${controlId} ${code}`)
      .sort(),
  ).toEqual(["M1 null", "M2 null", "M3 CANCELLED"]);
  await store.close();
});

test("one that names a report by its id alone, and is judged beside it: the report does not leave", async () => {
  const data = mkdtempSync(join(tmpdir(), "semrs-beside-"));
  let ahead: (() => Promise<void>) | undefined;
  const site = await siteAlone({ PKI: await testPki(), DATA: data, ANSWER: "validated" }, (opened) => ({
    ...opened,
    commit: async (...of) => {
      const first = ahead;
      ahead = undefined;
      await first?.();
      await opened.commit(...of);
    },
  }));
  const { send, sendDocument } = hisAlone(site);
  ahead = () => send(withoutPid(cancelFor("M2", "V.1^^2.16.886.104.100565.100008^ISO")), "M2");
  const document = await sendDocument(mdmFor(report("V.1"), { controlId: "M1", name: "DOC^HIS" }), "M1");
  expect(document.state).toBe("waiting");
  expect(await endIfCancelled(site, document)).toBe(true);
  expect(site.store.items.find(document.id)).toMatchObject({ state: "discarded", code: "CANCELLED" });
  expect(await endIfCancelled(site, document)).toBe(false);
  await site.store.close();
});
