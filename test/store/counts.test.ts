/** Rows by state: the same in place and beside the site, never older than the question, and the site goes on meanwhile. */
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, test } from "vitest";
import { openCounts } from "../../store/counts.ts";
import { arrival, delivery, folder, store } from "./fresh.ts";

const add = (...states: readonly ("accepted" | "refused")[]) =>
  store.commit(states.map((state) => store.arrivals.add(arrival({ state }))));

describe.each([
  ["in place", Number.MAX_SAFE_INTEGER],
  ["in a thread", 0],
])("counted %s", (_, max) => {
  const opened = () => {
    const path = join(folder, "semrs.db");
    const db = new DatabaseSync(path, { readOnly: true });
    return { db, counts: openCounts({ all: (sql) => db.prepare(sql).all() }, path, max) };
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

test("an index that cannot be read is told, and the next question is asked anew", async () => {
  const path = join(folder, "semrs.db");
  let isBroken = true;
  const counts = openCounts(
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
