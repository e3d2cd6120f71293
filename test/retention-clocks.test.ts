/** Retention while the clock is wrong: nothing goes sooner than by the right one. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { confirmClock } from "../pipeline/belief.ts";
import type { Site } from "../pipeline/site.ts";
import { pathOf } from "../store/blank-files.ts";
import { octets } from "./envelope/people.ts";
import { dayMs, isShredded, record, retentionOf } from "./retained.ts";
import { folder, freshStore, put, store } from "./store/fresh.ts";

freshStore();

test("a clock that is set ahead by years while a house runs makes nothing old enough to go", async () => {
  const id = await record({ days: 1, blob: (await put(octets(3_000, 91))).name });
  const told: string[] = [];
  let ahead = 0;
  const retention = retentionOf({ for: 30 * dayMs }, told, () => new Date(Date.now() + ahead));
  await retention.look();
  ahead = 365 * dayMs;
  expect([await retention.look(), await retention.look()]).toEqual([0, 0]);
  expect([isShredded(id), told]).toEqual([false, ["retention.waits"]]);
  ahead = 0;
  await retention.look();
  expect(retention.doubt()).toBeUndefined();
});

test("a house that starts with a clock that is ahead by years removes nothing either, until a person says that it is right", async () => {
  const id = await record({ days: 1, blob: (await put(octets(3_000, 92))).name });
  await retentionOf({ for: 30 * dayMs }).look();
  const told: string[] = [];
  const later = (days: number) => () => new Date(Date.now() + days * dayMs);
  for (const process of [1, 2]) {
    const retention = retentionOf({ for: 30 * dayMs }, told, later(365));
    expect([await retention.look(), await retention.look(), isShredded(id)]).toEqual([0, 0, false]);
    expect([told.length, retention.doubt()]).toEqual([process, expect.stringMatching(/^the clock is 36[45] d ahead/)]);
  }
  // So long it may have been off.
  const off = retentionOf({ for: 30 * dayMs }, [], later(6));
  expect([await off.look(), off.doubt()]).toEqual([0, undefined]);
  const retention = retentionOf({ for: 30 * dayMs }, [], later(365));
  await retention.look();
  const site = { store, now: later(365), log: () => undefined } as unknown as Site;
  await confirmClock(site, "it was off for a year");
  expect([await retention.look(), isShredded(id), retention.doubt()]).toEqual([1, true, undefined]);
  expect(await retentionOf({ for: 30 * dayMs }, [], later(365)).look()).toBe(0);
});

test("while the clock is not believed what is too old by the time that has passed goes all the same", async () => {
  const [old, young] = await Promise.all(
    [29, 1].map(async (days) => await record({ days, blob: (await put(octets(3_000, 90 + days))).name })),
  );
  await retentionOf({ for: 30 * dayMs }).look();
  let passed = 0;
  const retention = retentionOf(
    { for: 30 * dayMs },
    [],
    () => new Date(Date.now() + 365 * dayMs + passed),
    () => performance.now() + passed,
  );
  expect(await retention.look()).toBe(0);
  passed = 2 * dayMs;
  expect([await retention.look(), isShredded(old ?? ""), isShredded(young ?? "")]).toEqual([1, true, false]);
});

test("a clock that is set ahead by hours takes no file from whoever reads it, or from a backup that is under way", async () => {
  const { name: blob } = await put(octets(300_000, 94));
  await record({ days: 40, blob });
  const db = new DatabaseSync(join(folder, "semrs.db"));
  const { file } = db.prepare("SELECT file FROM blob WHERE name = ?").get(blob) as { file: string };
  db.close();
  const isThere = (): boolean => existsSync(pathOf(join(folder, "blobs"), file));
  let ahead = 0;
  const retention = retentionOf({ for: 30 * dayMs }, [], () => new Date(Date.now() + ahead));
  expect([await retention.look(), isThere()]).toEqual([1, true]);
  ahead = 2 * 3_600_000;
  await retention.look();
  expect(isThere()).toBe(true);
});
