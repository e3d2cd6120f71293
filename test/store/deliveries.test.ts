/** Which delivery is due when, which waits for another, and what a crash makes of one on the wire. */
import { describe, expect, test } from "vitest";
import type { StoredRecord } from "../../store/store.ts";
import { delivery, freshStore, open, store } from "./fresh.ts";

freshStore();

const register = { kind: "register", destination: "registry" } as const;

describe("deliveries", () => {
  test("each way has its own queue: a long one hides no other", async () => {
    const ways = [
      { kind: "message", destination: "his" },
      { kind: "message", destination: "ris" },
      { kind: "push", destination: "his" },
    ] as const;
    const rows = ways.flatMap((way, n) => Array.from({ length: 30 }, (_, k) => delivery({ ...way, due: 10 * n + k })));
    const done = delivery({ kind: "message", destination: "done", state: "delivered" });
    await store.commit([...rows, done].map(store.deliveries.add));
    expect(store.deliveries.ways(15)).toEqual(
      ways.map((way, n) => ({ ...way, due: 10 * n, next: Math.max(16, 10 * n) })),
    );
    for (const way of ways) {
      const ids = rows.filter(({ kind, destination }) => kind === way.kind && destination === way.destination);
      expect(store.deliveries.due(way, 100, 7)).toEqual(ids.slice(0, 7));
      const [first] = ids;
      expect(store.deliveries.due(way, 100, 7, { ids: first ? [first.id] : [] })).toEqual(ids.slice(1, 8));
      expect(store.deliveries.due(way, 100, 7, { channels: ["c"] })).toEqual([]);
    }
  });

  test("one that is overdue and waits for an earlier one does not hide when that one is due", async () => {
    const [first, second] = [delivery({ order: "p", due: 5_000 }), delivery({ order: "p", due: 1_000 })];
    await store.commit([first, second].map(store.deliveries.add));
    expect(store.deliveries.due(register, 2_000, 10)).toEqual([]);
    const next = (now: number) => store.deliveries.ways(now).map(({ next }) => next);
    expect([next(2_000), next(6_000)]).toEqual([[5_000], [undefined]]);
  });

  test("fetches of one patient are found newest first, and never wait for one another", async () => {
    const [first, second] = [
      delivery({ kind: "fetch", order: "p", due: 5_000 }),
      delivery({ kind: "fetch", order: "p", due: 1_000 }),
    ];
    await store.commit([first, second].map(store.deliveries.add));
    expect(store.deliveries.fetches("p", 10).map(({ id }) => id)).toEqual([second.id, first.id]);
    expect(store.deliveries.due({ ...register, kind: "fetch" }, 2_000, 10).map(({ id }) => id)).toEqual([second.id]);
  });

  test("changes with one key are found newest first, whatever became of them", async () => {
    const [first, second] = [delivery({ kind: "change", order: "p" }), delivery({ kind: "change", order: "p" })];
    await store.commit([first, second, delivery({ order: "p" })].map(store.deliveries.add));
    await store.commit([store.deliveries.mark(first.id, { state: "delivered" })]);
    expect(store.deliveries.changes("p", 10).map(({ id }) => id)).toEqual([second.id, first.id]);
  });

  test("those of one patient to one destination keep their order; others pass", async () => {
    const [first, second, other] = [delivery({ order: "p" }), delivery({ order: "p" }), delivery({ order: "q" })];
    await store.commit([first, second, other].map(store.deliveries.add));
    expect(store.deliveries.due(register, 1, 10).map(({ id }) => id)).toEqual([first.id, other.id]);
    await store.commit([store.deliveries.mark(first.id, { state: "delivered" })]);
    expect(store.deliveries.due(register, 1, 10).map(({ id }) => id)).toEqual([second.id, other.id]);
  });

  test("one that is let go on waits for what is under way or may have arrived, which waits for none that has not", async () => {
    const parked = delivery({ order: "p", state: "parked", attempts: 1 });
    const second = delivery({ order: "p" });
    await store.commit([parked, second].map(store.deliveries.add));
    const due = (ids: readonly string[] = []) => store.deliveries.due(register, 1, 10, { ids }).map(({ id }) => id);
    expect(due()).toEqual([second.id]);
    await store.commit([store.deliveries.mark(parked.id, { state: "queued" })]);
    expect(due([second.id])).toEqual([]);
    expect(due()).toEqual([parked.id]);
    await store.commit([store.deliveries.take(second.id, 1)]);
    expect([due([second.id]), store.deliveries.before(parked.id)]).toEqual([[], second.id]);
    await store.commit([store.deliveries.mark(second.id, { state: "ambiguous" })]);
    expect([due(), store.deliveries.before(second.id)]).toEqual([[second.id], undefined]);
    await store.commit([store.deliveries.mark(second.id, { state: "delivered" })]);
    expect(due()).toEqual([parked.id]);
  });

  test("what a crash left on the wire is ambiguous after it", async () => {
    const row = delivery();
    await store.commit([store.deliveries.add(row), store.deliveries.mark(row.id, { state: "inflight" })]);
    await store.close();
    await open();
    expect(store.deliveries.find(row.id)?.state).toBe("ambiguous");
  });

  test("with the last of its deliveries a received record is delivered and something is added, once", async () => {
    const [id, one, other] = [store.newId(), store.newId(), store.newId()];
    const record: StoredRecord = {
      ...{ id, channel: "c", origin: "received", author: "a", manifest: new Uint8Array(), signature: new Uint8Array() },
      ...{ manifestSha256: "", key: id, parts: [], patients: [], state: "opened", code: null, reason: null },
      ...{ entry: null, createdAt: "2026" },
    };
    const { records, deliveries } = store;
    const rows = [one, other].map((each) => deliveries.add({ ...delivery({ record: id }), id: each }));
    await store.commit([...records.add(record), ...rows]);
    const end = (each: string) =>
      store.commit([
        records.settle(id, each),
        deliveries.addOnceDelivered({ ...delivery({ kind: "receipt", record: id }), id }, id),
        deliveries.mark(each, { state: "delivered" }),
      ]);
    await end(one);
    expect([records.find(id)?.state, deliveries.find(id)]).toEqual(["opened", undefined]);
    await end(other);
    expect([records.find(id)?.state, deliveries.find(id)?.kind]).toEqual(["delivered", "receipt"]);
    await end(other);
    expect(deliveries.list({ record: id, limit: 10 })).toHaveLength(3);
  });
});
