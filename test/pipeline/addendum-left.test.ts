/** The command of an addendum is kept with its record or not at all: nothing else would ever name it. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openInstanceIntake } from "../../pipeline/intake-instance.ts";
import { discard } from "../../pipeline/journal-actions.ts";
import { routeSealed } from "../../pipeline/route.ts";
import { sealRecord } from "../../pipeline/seal.ts";
import type { Site } from "../../pipeline/site.ts";
import type { Assembled } from "../../pipeline/waiting-room.ts";
import type { Item } from "../../store/store.ts";
import { wire } from "../envelope/people.ts";
import { ctStudy } from "../fixtures/dicom.ts";
import { testPki } from "../sites.ts";
import { siteAlone } from "./site-alone.ts";

let site: Site;
beforeEach(async () => {
  site = await siteAlone({ PKI: await testPki(), DATA: mkdtempSync(join(tmpdir(), "semrs-addendum-")) });
});
afterEach(() => site.store.close());

const names = () => site.store.blobs.names("", 99);
/** Late images of a report that has gone. */
async function late(): Promise<Assembled> {
  const intake = openInstanceIntake(site, () => undefined);
  for (const { bytes, sopInstanceUid: controlId } of ctStudy({ instancesPerSeries: 2 })) {
    const arrival = { mediaType: "application/dicom", controlId, sender: "PACS_A" } as const;
    await intake("pacs", { ...arrival, body: wire(bytes, 65_536) });
  }
  const instances = site.store.items.list({ state: "waiting", kind: "instance", limit: 9 });
  const entry = { uniqueId: "1.2.3", patientIds: [], relatedDocuments: [] };
  const document: Item = {
    ...(instances[0] as Item),
    ...{ kind: "document", state: "sealed", key: "d", facts: { refers: true, extensions: [], entry } },
  };
  const [channel] = site.config.own.channels;
  return { channel, document, instances, appends: true, closing: "quiet" } as Partial<Assembled> as Assembled;
}

test("a house that ends between sealing and keeping leaves nothing of it", async () => {
  const assembled = await late();
  const before = names();
  await sealRecord(site, assembled);
  expect(names()).toEqual(before);
});

test("one that a person's decision came before leaves nothing of it", async () => {
  const assembled = await late();
  const before = names();
  const sealed = await sealRecord(site, assembled);
  await discard(site, assembled.instances[0]?.id ?? "", "of another hospital");
  const routed = routeSealed(site, async ({ also }) => await site.store.commit(also), sealed);
  await expect(routed).rejects.toMatchObject({ code: "STORE_CONFLICT" });
  expect(names()).toEqual(before);
});

test("one that goes is kept with its record", async () => {
  const assembled = await late();
  const sealed = await sealRecord(site, assembled);
  await routeSealed(site, async ({ also }) => await site.store.commit(also), sealed);
  expect(names()).toContain(sealed.parts[0]?.blob);
});
