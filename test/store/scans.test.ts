/** Rows by state: the same in place and beside the site, never older than the question, and the site goes on meanwhile. */
import { join } from "node:path";
import { DatabaseSync, type SQLInputValue } from "node:sqlite";
import { describe, expect, test } from "vitest";
import { openScans } from "../../store/scans.ts";
import type { Delivery } from "../../store/store.ts";
import { until } from "../sites.ts";
import { arrival, delivery, folder, freshStore, store } from "./fresh.ts";

freshStore();

const add = (...states: readonly ("accepted" | "refused")[]) =>
  store.commit(states.map((state) => store.arrivals.add(arrival({ state }))));

describe.each([
  ["in place", Number.MAX_SAFE_INTEGER],
  ["in a thread", 0],
])("asked %s", (_, max) => {
  const opened = () => {
    const path = join(folder, "semrs.db");
    const db = new DatabaseSync(path, { readOnly: true });
    return { db, ...openScans({ all: (sql, ...params) => db.prepare(sql).all(...params) }, path, max) };
  };

  test("each table by state", async () => {
    const { db, counts } = opened();
    await add("accepted", "refused", "refused");
    await store.commit([store.deliveries.add(delivery())]);
    expect(await counts()).toEqual({
      arrivals: { accepted: 1, refused: 2 },
      items: {},
      records: {},
      deliveries: { queued: 1 },
    });
    db.close();
  });

  test("the oldest delivery to each destination that is due", async () => {
    const { db, queues } = opened();
    const made = (destination: string, minute: number, change: Partial<Delivery> = {}) =>
      store.deliveries.add(delivery({ destination, createdAt: `2026-05-04T12:0${minute}:00.000Z`, ...change }));
    await store.commit([
      made("his", 3),
      made("his", 2, { due: 20, attempts: 1 }),
      made("his", 1, { due: 20 }),
      made("pacs", 4, { state: "delivered" }),
      made("registry", 5, { state: "inflight" }),
    ]);
    expect(await queues(10)).toEqual([
      { destination: "his", since: Date.parse("2026-05-04T12:02:00Z"), count: 2 },
      { destination: "registry", since: Date.parse("2026-05-04T12:05:00Z"), count: 1 },
    ]);
    db.close();
  });

  test("what an id ends with, wherever it is; whole ids and control ids before that", async () => {
    const { db, find } = opened();
    const [one, other] = [arrival({ controlId: "abcd" }), arrival({ controlId: "M2" })];
    const sent = delivery();
    await store.commit([store.arrivals.add(one), store.arrivals.add(other), store.deliveries.add(sent)]);
    const asArrival = (id: string) => [{ kind: "arrival", id }];
    expect(await find(one.id.slice(-9))).toEqual(asArrival(one.id));
    expect(await find(sent.id.slice(-9))).toEqual([{ kind: "delivery", id: sent.id }]);
    expect(await find(other.id)).toEqual(asArrival(other.id));
    expect(await find("M2")).toEqual(asArrival(other.id));
    // A control id may look like the end of an id.
    expect(await find("abcd")).toEqual(asArrival(one.id));
    expect([await find("nobody"), await find("f".repeat(31))]).toEqual([[], []]);
    db.close();
  });

  test("what was committed while another count is under way is in the next, which all share who ask meanwhile", async () => {
    const { db, counts } = opened();
    const first = counts();
    await add("accepted");
    const [second, third] = [counts(), counts()];
    expect(second).toBe(third);
    await first;
    expect((await second).arrivals).toEqual({ accepted: 1 });
    db.close();
  });
});

test("who looks again and again gets the last count of a large index while that rests, and waits for none but the first", async () => {
  const path = join(folder, "semrs.db");
  const db = new DatabaseSync(path, { readOnly: true });
  let clock = 0;
  const asked = { all: (sql: string, ...params: SQLInputValue[]) => db.prepare(sql).all(...params) };
  const { recentCounts } = openScans(asked, path, 0, () => clock);
  const accepted = async (): Promise<number> => (await recentCounts()).arrivals.accepted ?? 0;
  await add("accepted");
  const first = recentCounts();
  clock = 1_000;
  expect((await first).arrivals).toEqual({ accepted: 1 });
  await add("accepted");
  clock = 20_999;
  expect(await accepted()).toBe(1);
  // Its rest is over: this look begins the next count, and does not wait for it.
  clock = 21_000;
  expect(await accepted()).toBe(1);
  await until("the next count", async () => (await accepted()) === 2);
  db.close();
});

test("an index that cannot be read is told, and the next question is asked anew", async () => {
  const path = join(folder, "semrs.db");
  let isBroken = true;
  const { counts } = openScans(
    {
      all: () => {
        if (isBroken) throw new Error("disk I/O error");
        return [];
      },
    },
    path,
  );
  await expect(counts()).rejects.toThrow("disk I/O error");
  isBroken = false;
  expect(await counts()).toEqual({ arrivals: {}, items: {}, records: {}, deliveries: {} });
});
