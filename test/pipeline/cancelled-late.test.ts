/** A report that is cancelled when its retention is over at the house whose HIS has it: a person is told what there is to do. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { sealOctets } from "../../envelope/index.ts";
import { isCancellation, receiveCorrection } from "../../pipeline/corrected.ts";
import { deliverMessage } from "../../pipeline/deliver.ts";
import { openRetention } from "../../pipeline/retention.ts";
import { newDelivery } from "../../pipeline/route.ts";
import { wire } from "../envelope/people.ts";
import { documents } from "../fixtures/documents.ts";
import { testPki } from "../sites.ts";
import { siteAlone } from "./site-alone.ts";

const dayMs = 86_400_000;

test("its cancellation is parked as that, and not as damage", async () => {
  const data = mkdtempSync(join(tmpdir(), "semrs-cancelled-late-"));
  const site = await siteAlone({ PKI: await testPki(), SITE: "hospital-b", DATA: data });
  const { store, config } = site;
  for (const channel of config.own.channels) Object.assign(channel, { retention: { for: 180 * dayMs } });
  const { cipher, facts } = sealOctets(documents["113"]);
  const { name: blob, change } = await store.blobs.put(wire(cipher), () => facts);
  const id = store.newId();
  const octets = new Uint8Array(1);
  const entry = { entry: { uniqueId: "1.2.3", relatedDocuments: [] }, appends: null, instances: [] };
  const sealed = { manifest: octets, signature: octets, manifestSha256: "0".repeat(64), patients: [] };
  await store.commit([
    change,
    ...store.records.add({
      ...{ id, channel: "incoming", origin: "received", author: "hospital-a", state: "delivered", code: null },
      ...{ ...sealed, reason: null, key: store.tokens.of("document", "", "1.2.3"), entry, parts: [{ n: 1, blob }] },
      createdAt: new Date(Date.now() - 200 * dayMs).toISOString(),
    }),
    store.deliveries.add({ ...newDelivery(site, "message", "incoming", "his"), record: id, state: "delivered" }),
  ]);
  expect(await openRetention(site).look()).toBe(1);
  const cancel = { command: "correction", uniqueId: "1.2.3", manifestSha256: "", by: null } as const;
  await receiveCorrection(site, "hospital-a", cancel, []);
  const told = store.deliveries.list({ record: id, limit: 9 }).find(({ payload }) => isCancellation(payload));
  if (!told) expect.fail("HIS B has it");
  await expect(deliverMessage(site, told, async () => undefined)).rejects.toMatchObject({
    code: "DOCUMENT_UNKNOWN",
    message: expect.stringMatching(/retention is over.*cancel it at his/),
  });
  await store.close();
});
