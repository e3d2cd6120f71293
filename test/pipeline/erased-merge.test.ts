/** A patient whose merge the registry was told of is erased at the house: nothing tells of their ids again. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { erasePatient } from "../../pipeline/erasure.ts";
import { resend } from "../../pipeline/journal-actions.ts";
import type { Site } from "../../pipeline/site.ts";
import type { Delivery } from "../../store/store.ts";
import { testPki } from "../sites.ts";
import { hisAlone } from "./his-alone.ts";
import { siteAlone } from "./site-alone.ts";

let site: Site;
beforeAll(async () => {
  site = await siteAlone({ PKI: await testPki(), DATA: mkdtempSync(join(tmpdir(), "semrs-erased-merge-")) });
});
afterAll(() => site.store.close());

/** ADT^A40 with a group for each patient; the change that the registry is told. */
async function merged(
  controlId: string,
  ...groups: readonly (readonly [into: string, from: string])[]
): Promise<string> {
  const number = (digits: string): string => `${digits}^^^HOSPA^MR`;
  const head = `MSH|^~\\&|HIS|HOSP|SEMRS|HOSP|20260119080000+0800||ADT^A40^ADT_A39|${controlId}|P|2.5.1`;
  const segments = groups.flatMap(([into, from]) => [`PID|1||${number(into)}||X^Y`, `MRG|${number(from)}`]);
  const before = new Set(changes().map(({ id }) => id));
  await hisAlone(site).send(Buffer.from([head, "EVN|A40|20260119080000", ...segments, ""].join("\r")), controlId);
  return changes().find(({ id }) => !before.has(id))?.id ?? expect.fail("the registry is told");
}
const changes = (): readonly Delivery[] =>
  site.store.deliveries.list({ limit: 100 }).filter(({ kind }) => kind === "change");
const end = (id: string, state: Delivery["state"]): Promise<void> =>
  site.store.commit([site.store.deliveries.mark(id, { state })]);
const idsIn = (id: string): readonly string[] =>
  (JSON.stringify(site.store.deliveries.find(id)?.payload).match(/(?<="extension":")\d+/g) ?? []).toSorted();
const erase = (extension: string) => {
  const [root = ""] = site.config.identifiers.find(({ name }) => name === "chart")?.roots ?? [];
  return erasePatient(site, [{ root, extension }], "request 44", true);
};
const told = (): readonly string[] =>
  site.store.deliveries.answered({ registry: "registry", since: "2020", from: "", limit: 100 }).map(({ id }) => id);

test("its ids go from what the registry was told, which no recall tells again and nobody resends", async () => {
  const mine = await merged("M1", ["111", "112"]);
  const others = await merged("M2", ["211", "212"]);
  const both = await merged("M3", ["113", "112"], ["311", "312"]);
  for (const id of [mine, others, both]) await end(id, "delivered");
  expect(told()).toEqual([mine, others, both]);
  await erase("111");
  expect([mine, others, both].map(idsIn)).toEqual([[], ["211", "212"], ["311", "312"]]);
  expect(told()).toEqual([others, both]);
  await expect(resend(site, {} as Parameters<typeof resend>[1], mine, "again")).rejects.toMatchObject({
    code: "DOCUMENT_UNKNOWN",
  });
});

test("what still waits is told, and goes once it was and the patient is erased again", async () => {
  const waits = await merged("M4", ["411", "412"]);
  await erase("411").catch(() => undefined);
  expect(idsIn(waits)).toEqual(["411", "412"]);
  await end(waits, "delivered");
  await erase("412");
  expect(idsIn(waits)).toEqual([]);
});
