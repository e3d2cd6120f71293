/** Which delivery is due when, which waits for another, and what a crash makes of one on the wire. */
import { describe, expect, test } from "vitest";
import { delivery, open, store } from "./fresh.ts";

describe("deliveries", () => {
  test("one that is overdue and waits for an earlier one does not hide when that one is due", async () => {
    const [first, second] = [delivery({ order: "p", due: 5_000 }), delivery({ order: "p", due: 1_000 })];
    await store.commit([first, second].map(store.deliveries.add));
    expect(store.deliveries.due(2_000, 10)).toEqual([]);
    expect(store.deliveries.nextDue(2_000)).toBe(5_000);
    expect(store.deliveries.nextDue(6_000)).toBeUndefined();
  });

  test("fetches of one patient are found newest first, and never wait for one another", async () => {
    const [first, second] = [
      delivery({ kind: "fetch", order: "p", due: 5_000 }),
      delivery({ kind: "fetch", order: "p", due: 1_000 }),
    ];
    await store.commit([first, second].map(store.deliveries.add));
    expect(store.deliveries.fetches("p", 10).map(({ id }) => id)).toEqual([second.id, first.id]);
    expect(store.deliveries.due(2_000, 10).map(({ id }) => id)).toEqual([second.id]);
  });

  test("those of one patient to one destination keep their order; others pass", async () => {
    const [first, second, other] = [delivery({ order: "p" }), delivery({ order: "p" }), delivery({ order: "q" })];
    await store.commit([first, second, other].map(store.deliveries.add));
    expect(store.deliveries.due(1, 10).map(({ id }) => id)).toEqual([first.id, other.id]);
    await store.commit([store.deliveries.mark(first.id, { state: "delivered" })]);
    expect(store.deliveries.due(1, 10).map(({ id }) => id)).toEqual([second.id, other.id]);
  });

  test("what a crash left on the wire is ambiguous after it", async () => {
    const row = delivery();
    await store.commit([store.deliveries.add(row), store.deliveries.mark(row.id, { state: "inflight" })]);
    await store.close();
    await open();
    expect(store.deliveries.find(row.id)?.state).toBe("ambiguous");
  });
});
