/** A study on its way to the PACS while the house's own disk is full, or the PACS is, or its report is cancelled. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { maxFullInARow } from "../../connectors/dicom/scu.ts";
import { sealPart } from "../../envelope/index.ts";
import { Fault } from "../../errors.ts";
import { loadConfig } from "../../pipeline/config.ts";
import { deliverStudy } from "../../pipeline/deliver-study.ts";
import { loadKeys } from "../../pipeline/identity.ts";
import type { Site } from "../../pipeline/site.ts";
import { openStore } from "../../store/index.ts";
import type { Delivery, StoredRecord } from "../../store/store.ts";
import { type Asked, scriptedPacs } from "../connectors/scripted-pacs.ts";
import { wire } from "../envelope/people.ts";
import { ctStudy } from "../fixtures/dicom.ts";
import { testPki } from "../sites.ts";

/** Hospital B alone, with a record of a study of so many pixels a side that goes to `pacs`. */
async function withStudy(pacs: { readonly port: number }, size: number, instancesPerSeries = 1) {
  const folder = mkdtempSync(join(tmpdir(), "semrs-study-"));
  const env = { SITE: "hospital-b", PKI: await testPki(), DATA: folder, B_PACS: String(pacs.port) };
  const config = loadConfig(join(import.meta.dirname, "..", "..", "channels.yaml"), env);
  const { storageKey, tls } = loadKeys(config);
  const store = await openStore({ folder: config.own.data, key: storageKey, now: () => new Date() });
  const parts: { n: number; blob: string }[] = [];
  const instances: { n: number; sopInstanceUid: string }[] = [];
  for (const [index, { bytes, sopInstanceUid }] of ctStudy({ instancesPerSeries, size }).entries()) {
    const { cipher, facts } = sealPart(wire(bytes, 65_536), "segments");
    const { name: blob, change } = await store.blobs.put(cipher, facts);
    await store.commit([change]);
    parts.push({ n: index + 2, blob });
    instances.push({ n: index + 2, sopInstanceUid });
  }
  const [channel] = config.own.channels.filter(({ kind }) => kind === "inbound");
  const of = { id: store.newId(), channel: channel?.name ?? "", code: null, reason: null };
  const at = new Date().toISOString();
  const record = { ...of, origin: "received", author: "hospital-a", parts, patients: [], createdAt: at } as const;
  const signed = { manifest: new Uint8Array(), signature: new Uint8Array(), manifestSha256: "", key: "" };
  const whole = { ...record, ...signed, state: "open", entry: { instances } } as unknown as StoredRecord;
  await store.commit([store.records.add(whole)].flat());
  const rest = {
    kind: "study",
    destination: "pacs",
    record: of.id,
    payload: null,
    createdAt: at,
    attempts: 1,
  } as const;
  const delivery = { ...of, ...rest, id: store.newId(), state: "queued" } as unknown as Delivery;
  const beside = { now: () => new Date(), log: () => undefined, signal: new AbortController().signal };
  const site = { config, tls, store, ...beside } as unknown as Site;
  return { site, delivery, instances };
}

test("fails as one that is tried again, and nothing else comes of it", async () => {
  const unheard: unknown[] = [];
  const hear = (thrown: unknown): void => void unheard.push(thrown);
  process.on("unhandledRejection", hear);
  const pacs = await scriptedPacs({
    // By the second instance the house has tried to note the first, and has had its turns.
    answer: async () => {
      for (let turn = 0; turn < 50; turn += 1) await new Promise((resolve) => setImmediate(resolve));
      return 0;
    },
  });
  const { site, delivery } = await withStudy(pacs, 32);
  const full = new Fault("STORE_FULL", "the disk is full; free space");
  const store = { ...site.store, commit: () => Promise.reject(full) };
  await expect(deliverStudy({ ...site, store }, delivery)).rejects.toBe(full);
  expect(pacs.stored).toHaveLength(2);
  expect(unheard).toEqual([]);
  process.off("unhandledRejection", hear);
  await pacs.stop();
  await site.store.close();
});

test("goes on where PACS B has some of it when its report is cancelled", async () => {
  let isUp = false;
  const pacs = await scriptedPacs({ after: ({ socket }) => void (isUp || socket.destroy()) });
  const { site, delivery } = await withStudy(pacs, 2048);
  const { store, config } = site;
  Object.assign(config.own.systems.pacs?.dicom ?? {}, { associations: 1 });
  const lost = { subject: delivery.record ?? "", station: "deliver", event: "deferred", peer: "pacs" };
  await expect(deliverStudy(site, delivery)).rejects.toMatchObject({ code: "PEER_UNREACHABLE" });
  expect(pacs.stored).toHaveLength(1);
  await store.commit([
    store.steps.add({ ...lost, at: delivery.createdAt, code: "PEER_UNREACHABLE" }),
    store.records.mark(delivery.record ?? "", { code: "CANCELLED" }),
  ]);
  isUp = true;
  expect(await deliverStudy(site, { ...delivery, attempts: 2 })).toMatchObject({ event: "delivered" });
  expect(pacs.stored).toHaveLength(2);
  await pacs.stop();
  await store.close();
});

test("a PACS that is too full for what stands first in a study gets the rest of it at the next attempt", async () => {
  const refused = new Set<string>();
  const pacs = await scriptedPacs({ answer: ({ sopInstanceUid }) => (refused.has(sopInstanceUid) ? 0xa700 : 0) });
  const { site, delivery, instances } = await withStudy(pacs, 32, 20);
  for (const { sopInstanceUid } of instances.slice(0, 2 * maxFullInARow - 1)) refused.add(sopInstanceUid);
  await expect(deliverStudy(site, delivery)).rejects.toMatchObject({ code: "PEER_BUSY" });
  await expect(deliverStudy(site, { ...delivery, attempts: 2 })).rejects.toMatchObject({ code: "PEER_BUSY" });
  expect(pacs.stored).toHaveLength(instances.length - refused.size);
  await pacs.stop();
  await site.store.close();
});

test.each([1, 8])("a PACS that ends the association at the first of 2 × %i instances gets the rest", async (series) => {
  const [pacs, fatal] = [await scriptedPacs({ answer: (asked) => answered(asked) }), new Set<string>()];
  const answered = ({ sopInstanceUid, socket }: Asked): number | undefined =>
    fatal.has(sopInstanceUid) ? void socket.destroy() : 0;
  const { site, delivery, instances } = await withStudy(pacs, 32, series);
  Object.assign(site.config.own.systems.pacs?.dicom ?? {}, { associations: 1 });
  fatal.add(instances[0]?.sopInstanceUid ?? "");
  for (let attempts = 1; attempts <= 3; attempts += 1)
    await expect(deliverStudy(site, { ...delivery, attempts })).rejects.toMatchObject({ code: "PEER_AMBIGUOUS" });
  expect(pacs.stored).toHaveLength(instances.length - 1);
  await pacs.stop();
  await site.store.close();
});
