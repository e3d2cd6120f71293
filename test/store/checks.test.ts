/** What a store is checked for while its house works: beside the loop, or a few rows a turn. */
import { expect, test } from "vitest";
import { verifyStore } from "../../pipeline/verify.ts";
import type { Store } from "../../store/store.ts";
import { arrival, freshStore, store } from "./fresh.ts";

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

test("acceptances are looked up a few a turn, however many there are", async () => {
  const rows = Array.from({ length: many }, () => arrival());
  for (let from = 0; from < many; from += 200)
    await store.commit(
      rows.slice(from, from + 200).map((row) => store.arrivals.add(row)),
      rows.slice(from, from + 200).map(({ id }) => ({ id, digest: "00" })),
    );
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
