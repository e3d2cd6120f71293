/** A query of the registry is asked again while it is known whose records it was about. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { release, resend } from "../../pipeline/journal-actions.ts";
import type { Site } from "../../pipeline/site.ts";
import type { Delivery } from "../../store/store.ts";
import { testPki } from "../sites.ts";
import { siteAlone } from "./site-alone.ts";

let site: Site;
beforeAll(async () => {
  site = await siteAlone({ PKI: await testPki(), DATA: mkdtempSync(join(tmpdir(), "semrs-resend-")) });
});
afterAll(() => site.store.close());

const releases = {} as Parameters<typeof resend>[1];
const payload = { patientIds: [{ root: "1.2", extension: "A123456789" }], admission: null };
const asked = async (
  kind: Delivery["kind"],
  state: Delivery["state"],
  record: string | null = null,
): Promise<string> => {
  const id = site.store.newId();
  const told = { state, attempts: 1, due: 0, code: null, reason: null, createdAt: "" } as const;
  const delivery = {
    id,
    kind,
    channel: "incoming",
    destination: "registry",
    order: null,
    record,
    payload,
    ...told,
  };
  await site.store.commit([site.store.deliveries.add(delivery)]);
  return id;
};

test("a message is sent again once, however many ask for it, and anew when that has ended", async () => {
  const id = await asked("message", "delivered", "record");
  const all = await Promise.allSettled([resend(site, releases, id, "once"), resend(site, releases, id, "more")]);
  expect(all.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
  expect(all.find(({ status }) => status === "rejected")).toMatchObject({
    reason: {
      code: "STORE_CONFLICT",
      message: expect.stringContaining("still on its way there, and nothing was changed"),
    },
  });
  const [, anew, other] = site.store.deliveries.list({ record: "record", limit: 9 });
  expect([anew?.state, other]).toEqual(["queued", undefined]);
  await site.store.commit([site.store.deliveries.mark(anew?.id ?? "", { state: "delivered" })]);
  expect(await resend(site, releases, id, "once more")).toMatchObject({ state: "queued" });
});

test("one that is parked ends with that: it cannot be released besides", async () => {
  const id = await asked("message", "parked", "parked");
  const { id: anew } = await resend(site, releases, id, "the HIS is mended");
  expect(site.store.deliveries.find(id)).toMatchObject({ state: "discarded", reason: "the HIS is mended" });
  expect(site.store.deliveries.find(anew)).toMatchObject({ state: "queued", record: "parked" });
  await expect(release(site, releases, id, "too")).rejects.toThrow(/held, parked or queued/);
});

test.each([
  ["fetch", "delivered"],
  ["fetch", "discarded"],
  ["retrieve", "discarded"],
] as const)("a %s that was %s is sent again, until its retention is over", async (kind, state) => {
  const id = await asked(kind, state);
  const { id: anew } = await resend(site, releases, id, "once more");
  expect(site.store.deliveries.find(anew)).toMatchObject({ kind, state: "queued", payload });
  await site.store.commit(site.store.deliveries.forget([id, anew]));
  await expect(resend(site, releases, id, "once more")).rejects.toMatchObject({
    code: "DOCUMENT_UNKNOWN",
    message: "its retention is over, or its patient was erased: there is nothing left to send",
  });
  expect(site.store.deliveries.find(anew)).toMatchObject({ payload });
});
