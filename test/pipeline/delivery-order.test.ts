/** A report and what replaces it that are kept in the same moment have one order on their way to a system, whichever of them is first. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { inboundChannels } from "../../pipeline/channels.ts";
import { deliveriesFor } from "../../pipeline/deliver.ts";
import type { Received } from "../../pipeline/open.ts";
import type { Site } from "../../pipeline/site.ts";
import type { Change } from "../../store/store.ts";
import { testPki } from "../sites.ts";
import { siteAlone } from "./site-alone.ts";

let site: Site;
beforeAll(async () => {
  const data = mkdtempSync(join(tmpdir(), "semrs-order-"));
  site = await siteAlone({ PKI: await testPki(), SITE: "hospital-b", DATA: data });
});
afterAll(() => site.store.close());

/** What was opened, of a patient who is named by this number first; `of`: what it replaces. */
function received(uniqueId: string, number: string, of?: string): Received {
  const { store } = site;
  const octets = new Uint8Array(1);
  const facts = {
    entry: { uniqueId, relatedDocuments: of ? [{ type: "RPLC", uniqueId: of }] : [] },
    ...{ appends: null, instances: [] },
  };
  const record = {
    ...{ id: store.newId(), channel: "incoming", origin: "received", author: "hospital-a", state: "opened" },
    ...{ manifest: octets, signature: octets, manifestSha256: "0".repeat(64), parts: [], code: null, reason: null },
    key: store.tokens.of("document", "", uniqueId),
    patients: [store.tokens.of("patient", "", number)],
    ...{ entry: facts, createdAt: site.now().toISOString() },
  };
  return { record, facts } as unknown as Received;
}
/** What its record is kept with, as the house sees what else it has. */
function looked({ record, facts }: Received): readonly Change[] {
  const [channel] = inboundChannels(site.config);
  if (!channel) return expect.fail("it takes records");
  return [...site.store.records.add(record), ...deliveriesFor(site, channel, { record, facts } as Received)];
}
const orders = (all: readonly Received[]): readonly (string | null)[] => [
  ...new Set(
    all.flatMap(({ record: { id } }) => site.store.deliveries.list({ record: id, limit: 9 })).map(({ order }) => order),
  ),
];

test.each([
  ["the report", 0],
  ["what replaces it", 1],
])("%s is kept first", async (what, at) => {
  const [one, two] = [received(`${what} 1`, `${what} chart`), received(`${what} 2`, `${what} national`, `${what} 1`)];
  const [first, second] = at === 0 ? [one, two] : [two, one];
  const meanwhile = looked(second);
  await site.store.commit(looked(first));
  await expect(site.store.commit(meanwhile)).rejects.toMatchObject({ code: "STORE_CONFLICT" });
  await site.store.commit(looked(second));
  expect(orders([one, two])).toHaveLength(1);
});

test("many additions to a report that is not here have one order, and so has the report", async () => {
  const all = Array.from({ length: 20 }, (_, n) => received(`added ${n}`, `number ${n}`, "report"));
  for (const each of [...all, received("report", "its own")]) {
    await site.store.commit(looked(each));
    all.push(each);
  }
  expect(orders(all)).toHaveLength(1);
});
