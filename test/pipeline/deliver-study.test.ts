/** A study on its way to the PACS while the house's own disk is full: what the PACS has taken cannot be noted. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { sealPart } from "../../envelope/index.ts";
import { Fault } from "../../errors.ts";
import { loadConfig } from "../../pipeline/config.ts";
import { deliverStudy } from "../../pipeline/deliver-study.ts";
import { loadKeys } from "../../pipeline/identity.ts";
import type { Site } from "../../pipeline/site.ts";
import { openStore } from "../../store/index.ts";
import type { Delivery, StoredRecord } from "../../store/store.ts";
import { scriptedPacs } from "../connectors/scripted-pacs.ts";
import { wire } from "../envelope/people.ts";
import { ctStudy } from "../fixtures/dicom.ts";
import { testPki } from "../sites.ts";

test("fails as one that is tried again, and nothing else comes of it", async () => {
  const unheard: unknown[] = [];
  const hear = (thrown: unknown): void => void unheard.push(thrown);
  process.on("unhandledRejection", hear);
  const folder = mkdtempSync(join(tmpdir(), "semrs-study-"));
  const pacs = await scriptedPacs({
    // By the second instance the house has tried to note the first, and has had its turns.
    answer: async () => {
      for (let turn = 0; turn < 50; turn += 1) await new Promise((resolve) => setImmediate(resolve));
      return 0;
    },
  });
  const env = { SITE: "hospital-b", PKI: await testPki(), DATA: folder, B_PACS: String(pacs.port) };
  const config = loadConfig(join(import.meta.dirname, "..", "..", "channels.yaml"), env);
  const { storageKey, tls } = loadKeys(config);
  const store = await openStore({ folder: config.own.data, key: storageKey, now: () => new Date() });
  const parts: { n: number; blob: string }[] = [];
  const instances: { n: number; sopInstanceUid: string }[] = [];
  for (const [index, { bytes, sopInstanceUid }] of ctStudy({ instancesPerSeries: 2 }).entries()) {
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
  const delivery = { ...of, kind: "study", destination: "pacs", record: of.id, payload: null, createdAt: at };
  const full = new Fault("STORE_FULL", "the disk is full; free space");
  const site = {
    ...{ config, tls, now: () => new Date(), log: () => undefined, signal: new AbortController().signal },
    store: { ...store, commit: () => Promise.reject(full) },
  } as unknown as Site;
  await expect(deliverStudy(site, delivery as unknown as Delivery)).rejects.toBe(full);
  expect(pacs.stored).toHaveLength(4);
  expect(unheard).toEqual([]);
  process.off("unhandledRejection", hear);
  await pacs.stop();
  await store.close();
});
