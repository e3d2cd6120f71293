/** What authors have told of documents that they are about to push: the last of each, sealed, bounded, and not for good. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { folder, freshStore, open, store } from "./fresh.ts";

freshStore();

const facts = { type: "RPLC", uniqueId: "1.2.3^SECRET-ORIGINAL" };
const tell = (org: string, key: string, at: string, of: unknown = facts): Promise<void> =>
  store.commit(store.relations.add({ org, key, at, facts: of }));

test("the last that its author says is there after a restart, sealed, until it is dropped; another's is another", async () => {
  await tell("a", "k", "2026-01-01", { type: "APND", uniqueId: "1" });
  await tell("a", "k", "2026-01-02");
  await store.close();
  for (const file of readdirSync(folder).filter((name) => name.startsWith("semrs.db")))
    expect(readFileSync(join(folder, file)).includes("SECRET-ORIGINAL"), file).toBe(false);
  await open();
  expect(store.relations.find("a", "k")).toEqual(facts);
  expect(store.relations.find("b", "k")).toBeUndefined();
  await store.commit([store.relations.drop("a", "k")]);
  expect(store.relations.find("a", "k")).toBeUndefined();
});

test("what was told before a time goes, and nothing is written where nothing was", async () => {
  await tell("a", "old", "2026-01-01");
  await tell("b", "young", "2026-01-03");
  await store.commit(store.relations.expire("2026-01-02"));
  expect([store.relations.find("a", "old"), store.relations.find("b", "young")]).toEqual([undefined, facts]);
  expect(store.relations.expire("2026-01-02")).toEqual([]);
});

test("of more than 1,000 of one author the oldest go; another author's stay", async () => {
  await tell("b", "k0", "2026-01-01");
  const at = (n: number): string => new Date(Date.UTC(2026, 0, 2) + Math.floor(n / 2)).toISOString();
  await store.commit(
    Array.from({ length: 1_002 }, (_, n) =>
      store.relations.add({ org: "a", key: `k${1e6 + n}`, at: at(n), facts }),
    ).flat(),
  );
  const kept = Array.from({ length: 1_002 }, (_, n) => store.relations.find("a", `k${1e6 + n}`) !== undefined);
  expect([kept.indexOf(true), kept.filter((each) => each).length]).toEqual([2, 1_000]);
  expect(store.relations.find("b", "k0")).toEqual(facts);
});
