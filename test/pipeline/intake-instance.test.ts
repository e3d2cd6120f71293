/** Two instances under one SOP Instance UID: at once, as from a modality and from the PACS that forwards what it got from it; or again. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { failureReasons } from "../../connectors/dicom/commitment.ts";
import { clear } from "../../pipeline/clear.ts";
import { openCommit } from "../../pipeline/commitment.ts";
import { loadConfig } from "../../pipeline/config.ts";
import { loadKeys } from "../../pipeline/identity.ts";
import { openInstanceIntake } from "../../pipeline/intake-instance.ts";
import { discard } from "../../pipeline/journal-actions.ts";
import { openMetrics } from "../../pipeline/metrics.ts";
import { openRetention } from "../../pipeline/retention.ts";
import type { Site } from "../../pipeline/site.ts";
import { openStopped } from "../../pipeline/stops.ts";
import { openStore } from "../../store/index.ts";
import type { Store } from "../../store/store.ts";
import { wire } from "../envelope/people.ts";
import { ctStudy } from "../fixtures/dicom.ts";
import { testPki } from "../sites.ts";

const dayMs = 86_400_000;
const { noSuchInstance } = failureReasons;

test.each([
  ["other octets: the second is held", 1, ["DICOM_CONFLICT held", "null waiting"]],
  ["the same octets: kept once", 0, ["null waiting"]],
] as const)("%s", async (_what, change, states) => {
  const folder = mkdtempSync(join(tmpdir(), "semrs-intake-"));
  const env = { SITE: "hospital-a", PKI: await testPki(), DATA: folder };
  const config = loadConfig(join(import.meta.dirname, "..", "..", "channels.yaml"), env);
  const now = (): Date => new Date();
  const store = await openStore({ folder: config.own.data, key: loadKeys(config).storageKey, now });
  // A disk that takes its time.
  const queue: (() => void)[] = [];
  const commit: Store["commit"] = async (...of) => {
    await new Promise<void>((resolve) => queue.push(resolve));
    await store.commit(...of);
  };
  const [instance] = ctStudy({ instancesPerSeries: 1 });
  const other = Uint8Array.from(instance?.bytes ?? []);
  other[other.length - 1] = (other.at(-1) ?? 0) ^ change;
  const site = {
    ...{ config, now, log: () => undefined, metrics: openMetrics(config.site, store), stopped: openStopped(store) },
    store: { ...store, commit },
  } as unknown as Site;
  const intake = openInstanceIntake(site, () => undefined);
  const arrive = async (bytes: Uint8Array, sender: string): Promise<unknown> => {
    const { answer } = await intake("pacs", {
      ...{ body: wire(bytes, 65_536), mediaType: "application/dicom", sender },
      controlId: instance?.sopInstanceUid ?? "",
    });
    return (await answer).accepted;
  };
  let isDone = false;
  const both = Promise.all([arrive(instance?.bytes ?? other, "CT_1"), arrive(other, "PACS_A")]).finally(() => {
    isDone = true;
  });
  for (let turn = 0; !isDone; turn += 1) {
    // Neither is on the disk before both would be on their way to it.
    if (turn > 500) for (const go of queue.splice(0)) go();
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(await both).toEqual([true, true]);
  const kept = store.items.byKey("instance", instance?.sopInstanceUid ?? "");
  expect(kept.map(({ code, state }) => `${code} ${state}`).sort()).toEqual(states);
  await store.close();
});

test.each([
  ["waits again", 0],
  ["waits anew once its retention is over", 40],
])("what a person discarded %s when it is sent again, and is durable to whoever asks", async (_what, days) => {
  const env = { SITE: "hospital-a", PKI: await testPki(), DATA: mkdtempSync(join(tmpdir(), "semrs-intake-")) };
  const config = loadConfig(join(import.meta.dirname, "..", "..", "channels.yaml"), env);
  const now = (): Date => new Date();
  const store = await openStore({ folder: config.own.data, key: loadKeys(config).storageKey, now });
  const site = {
    ...{
      config,
      now,
      log: () => undefined,
      metrics: openMetrics(config.site, store),
      stopped: openStopped(store),
      store,
    },
  } as unknown as Site;
  const [instance] = ctStudy({ instancesPerSeries: 1 });
  const { bytes = new Uint8Array(), sopInstanceUid = "" } = instance ?? {};
  const looked: string[] = [];
  const intake = openInstanceIntake(site, ({ state }) => void looked.push(state));
  const send = async (): Promise<void> => {
    const body = wire(bytes, 65_536);
    const { answer } = await intake("pacs", {
      ...{ body, mediaType: "application/dicom", sender: "CT_1", controlId: sopInstanceUid },
    });
    expect(await answer).toEqual({ accepted: true });
    await new Promise((resolve) => setImmediate(resolve));
  };
  await send();
  const [first] = store.items.byKey("instance", sopInstanceUid);
  await store.commit([store.items.mark(first?.id ?? "", { state: "held", code: "DOCUMENT_MISSING", reason: "none" })]);
  await discard(site, first?.id ?? "", "of another hospital");
  const retention = { refused: {}, filtered: {}, done: {}, discarded: { for: 30 * dayMs }, audit: {} };
  const later = { now: (): Date => new Date(Date.now() + days * dayMs), config: { own: { channels: [], retention } } };
  expect(await openRetention({ ...site, ...later } as unknown as Site).look()).toBe(days > 30 ? 1 : 0);
  const commit = openCommit(site, async () => undefined);
  const references = [{ sopClassUid: "1.2.840.10008.5.1.4.1.1.2", sopInstanceUid }];
  expect(await commit({ transactionUid: "1.1", sender: "CT_1", references })).toEqual([noSuchInstance]);
  await send();
  await send();
  const here = store.items.byKey("instance", sopInstanceUid);
  expect(here).toMatchObject([
    ...(days > 30 ? [{ id: first?.id, state: "discarded", reason: "of another hospital", blob: "" }] : []),
    { state: "waiting", code: null },
  ]);
  expect(here.at(-1)?.id === first?.id).toBe(days < 30);
  expect(await clear(site, here.at(-1)?.blob ?? "")).toEqual(Buffer.from(bytes));
  expect(await store.checks.dangling(10)).toEqual([]);
  expect(looked).toEqual(["waiting", "waiting"]);
  expect(await commit({ transactionUid: "1.2", sender: "CT_1", references })).toEqual([null]);
  await store.close();
});
