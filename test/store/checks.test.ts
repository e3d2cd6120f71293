/** What a store is checked for while its house works: beside the loop, or a few rows a turn. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, test } from "vitest";
import { verifyStore } from "../../pipeline/verify.ts";
import type { ArrivalRow, Store } from "../../store/store.ts";
import { arrival, folder, freshStore, store } from "./fresh.ts";

freshStore();

const many = 3_000;

test("the index is checked beside the loop, which has turns meanwhile", async () => {
  for (const check of [() => store.checks.index(), () => store.checks.dangling(10)]) {
    let hasTurned = false;
    setImmediate(() => (hasTurned = true));
    expect(await check()).toEqual([]);
    expect(hasTurned).toBe(true);
  }
});

/** Arrivals in the index and in the accept journal, in groups as they are made durable. */
async function taken(count: number, change: Partial<ArrivalRow> = {}, group = 200): Promise<void> {
  for (let from = 0; from < count; from += group) {
    const rows = Array.from({ length: Math.min(group, count - from) }, () => arrival(change));
    await store.commit(
      rows.map((row) => store.arrivals.add(row)),
      rows.map(({ id }) => ({ id, digest: "00" })),
    );
  }
}
const done = { state: "done", channel: "adt" } as const;

describe.each([
  ["few, where it is asked for", 20, false],
  ["many, in a thread", 2_000, true],
])("reconciled: %s", (_, count, inThread) => {
  test("accepted is what became of it", async () => {
    await taken(count, done);
    const threads = (): number => process.getActiveResourcesInfo().filter((name) => name === "MessagePort").length;
    const before = threads();
    const asked = store.checks.reconcile(["documents"]);
    expect(threads() > before).toBe(inThread);
    const found = await asked;
    expect(found).toMatchObject({ acknowledged: count, channels: [{ channel: "adt", delivered: count, lost: 0 }] });
  });

  test("a stop ends the wait for the last commit", async () => {
    await taken(count, done);
    const index = new DatabaseSync(join(folder, "semrs.db"));
    index.exec("DELETE FROM arrival WHERE id = (SELECT max(id) FROM arrival)");
    index.close();
    const stopping = new AbortController();
    const asked = store.checks.reconcile([], stopping.signal);
    setImmediate(() => stopping.abort());
    await expect(asked).rejects.toMatchObject({ code: "STOPPING" });
    expect((await store.checks.reconcile([])).channels[0]).toMatchObject({ channel: "", lost: 1 });
  });

  test("a journal whose chain does not hold is damage", async () => {
    await taken(count, done, Math.min(count / 2, 200));
    const path = join(folder, "accept.journal");
    const octets = readFileSync(path);
    octets[30] = (octets[30] ?? 0) ^ 1;
    writeFileSync(path, octets);
    await expect(store.checks.reconcile([])).rejects.toMatchObject({
      code: "STORE_DAMAGED",
      message: expect.stringContaining("reconciliation failed"),
    });
  });
});

test("acceptances are looked up a few a turn, however many there are", async () => {
  await taken(many);
  let [found, most, isOver] = [0, 0, false];
  const turn = (): void => {
    found = 0;
    if (!isOver) setImmediate(turn);
  };
  const arrivals: Store["arrivals"] = {
    ...store.arrivals,
    find: (id) => {
      found += 1;
      most = Math.max(most, found);
      return store.arrivals.find(id);
    },
  };
  turn();
  const verified = verifyStore({ ...store, arrivals });
  let next = await verified.next();
  // Each was acknowledged with other octets than its row says: so many damages.
  let damages = 0;
  for (; !next.done; next = await verified.next()) damages += 1;
  isOver = true;
  expect([next.value.acceptances, damages]).toEqual([many, many]);
  expect(most).toBeLessThan(many / 2);
});
