/** What a person decides while a record is being signed counts: what was discarded or replaced does not leave. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { sealWhole } from "../../envelope/index.ts";
import { openInstanceIntake } from "../../pipeline/intake-instance.ts";
import { discard, release } from "../../pipeline/journal-actions.ts";
import { newDelivery, routeSealed } from "../../pipeline/route.ts";
import { sealRecord } from "../../pipeline/seal.ts";
import type { Assembled } from "../../pipeline/waiting-room.ts";
import type { Item } from "../../store/store.ts";
import { wire } from "../envelope/people.ts";
import { ctStudy } from "../fixtures/dicom.ts";
import { testPki } from "../sites.ts";
import { siteAlone } from "./site-alone.ts";

/** A house alone, with a study that waits for its report. */
async function withStudy(instancesPerSeries: number) {
  const data = mkdtempSync(join(tmpdir(), "semrs-decided-"));
  const site = await siteAlone({ PKI: await testPki(), DATA: data });
  const intake = openInstanceIntake(site, () => undefined);
  for (const { bytes, sopInstanceUid: controlId } of ctStudy({ instancesPerSeries })) {
    const arrival = { mediaType: "application/dicom", controlId, sender: "PACS_A" } as const;
    await intake("pacs", { ...arrival, body: wire(bytes, 65_536) });
  }
  return { site, instances: site.store.items.list({ state: "waiting", kind: "instance", limit: 9 }) };
}

test.each([
  ["nothing", "sealed"],
  ["that the study is not to leave", "discarded"],
])("%s is decided meanwhile: %s", async (decided, state) => {
  const { site, instances } = await withStudy(2);
  const { store } = site;
  const entry = { uniqueId: "1.2.3", patientIds: [], relatedDocuments: [] };
  const facts = { refers: true, extensions: [], entry, messageType: "MDM^T02" };
  const { cipher, facts: whole } = sealWhole(Buffer.from("<ClinicalDocument/>"));
  const { name: blob, change } = await store.blobs.put(cipher, whole);
  const document: Item = { ...(instances[0] as Item), id: store.newId(), kind: "document", key: "d", blob, facts };
  await store.commit([change, ...store.items.add(document)]);
  const [channel] = site.config.own.channels;
  const assembled = {
    channel,
    document,
    instances,
    appends: false,
    closing: "quiet",
  } as Partial<Assembled> as Assembled;
  const sealed = await sealRecord(site, assembled);
  if (decided !== "nothing") await discard(site, instances[0]?.id ?? "", "of another hospital");
  const routed = routeSealed(site, async ({ also }) => await store.commit(also), sealed);
  if (decided === "nothing") await routed;
  else await expect(routed).rejects.toMatchObject({ code: "STORE_CONFLICT" });
  expect(instances.map(({ id }) => store.items.find(id)?.state)).toEqual(instances.map(() => state));
  expect(store.items.find(document.id)?.state).toBe(decided === "nothing" ? "sealed" : "waiting");
  await store.close();
});

test("what leaves while a person's decision is being written is not discarded, and the person is told", async () => {
  const {
    site,
    instances: [first, ...others],
  } = await withStudy(1);
  const { store } = site;
  const id = first?.id ?? "";
  // The record is ahead of the decision on its way to the disk.
  const commit: typeof store.commit = async (...of) => {
    await store.commit(store.items.seal([id], "record"));
    await store.commit(...of);
  };
  const decided = discard({ ...site, store: { ...store, commit } }, id, "of another hospital");
  await expect(decided).rejects.toMatchObject({
    code: "STORE_CONFLICT",
    message: `some of this left, or was decided about, in the same moment, and nothing was changed: semrs journal show ${id} tells where it is; decide again`,
  });
  expect(store.items.find(id)?.state).toBe("sealed");
  expect(others.map((each) => store.items.find(each.id)?.state)).toEqual(["waiting"]);
  await store.close();
});

test("what another person discards while a release is being written is not brought back, and who released is told", async () => {
  const { site, instances } = await withStudy(2);
  const { store } = site;
  const id = instances[0]?.id ?? "";
  const held = { state: "held", code: "STUDY_LATE", reason: "late" } as const;
  await store.commit(instances.map((each) => store.items.mark(each.id, held)));
  // The other's decision is ahead on its way to the disk.
  const commit: typeof store.commit = async (...of) => {
    await discard(site, id, "of another hospital");
    await store.commit(...of);
  };
  const looked: string[] = [];
  const releases = { look: (item: Item) => looked.push(item.id), again: async () => undefined };
  const released = release({ ...site, store: { ...store, commit } }, releases, id, "it is theirs");
  await expect(released).rejects.toMatchObject({
    code: "STORE_CONFLICT",
    message: expect.stringContaining("nothing was changed"),
  });
  expect(instances.map((each) => store.items.find(each.id)?.state)).toEqual(instances.map(() => "discarded"));
  expect(looked).toEqual([]);
  await store.close();
});

test.each([
  ["release", "inflight"],
  ["release", "discarded"],
  ["discard", "inflight"],
] as const)("%s of a delivery that is %s by then changes nothing", async (act, state) => {
  const { site } = await withStudy(1);
  const { store } = site;
  const delivery = newDelivery(site, "message", "incoming", "his");
  await store.commit([store.deliveries.add(delivery)]);
  const commit: typeof store.commit = async (...of) => {
    await store.commit([store.deliveries.mark(delivery.id, { state })]);
    await store.commit(...of);
  };
  const meanwhile = { ...site, store: { ...store, commit } };
  const releases = { look: () => undefined, again: async () => undefined };
  const decided =
    act === "discard"
      ? discard(meanwhile, delivery.id, "of another hospital")
      : release(meanwhile, releases, delivery.id, "it is theirs");
  await expect(decided).rejects.toMatchObject({ code: "STORE_CONFLICT" });
  expect(store.deliveries.find(delivery.id)?.state).toBe(state);
  await store.close();
});
