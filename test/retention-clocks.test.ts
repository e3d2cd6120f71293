/** Retention while the clock is wrong: nothing goes sooner than by the right one. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { pathOf } from "../store/blank-files.ts";
import { octets } from "./envelope/people.ts";
import { dayMs, isShredded, record, retentionOf } from "./retained.ts";
import { folder, freshStore, put } from "./store/fresh.ts";

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
  // A house that starts with that clock believes it.
  expect(await retentionOf({ for: 30 * dayMs }, [], () => new Date(Date.now() + 365 * dayMs)).look()).toBeGreaterThan(
    0,
  );
  expect(isShredded(id)).toBe(true);
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
