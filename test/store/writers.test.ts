/** A thread that writes serves one store after the other; one whose write failed serves none. */
import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { change } from "../../store/sqlite.ts";
import { until } from "../sites.ts";
import { arrival, freshStore, open, store } from "./fresh.ts";

freshStore();

const writers = (): ReadonlySet<string> =>
  new Set(
    readdirSync("/proc/self/task").filter((task) => {
      try {
        return readFileSync(`/proc/self/task/${task}/comm`, "utf8") === "writer\n";
      } catch {
        return false;
      }
    }),
  );
async function accept(): Promise<string> {
  const row = arrival();
  await store.commit([store.arrivals.add(row)], [{ id: row.id, digest: "00" }]);
  return row.id;
}

test("a store that is opened again is written by the thread of before, and what it had is there", async () => {
  const id = await accept();
  const before = writers();
  for (let times = 0; times < 3; times += 1) {
    await store.close();
    await open();
    const other = await accept();
    expect(store.missing).toEqual([]);
    expect([id, other].map((each) => store.arrivals.find(each)?.id)).toEqual([id, other]);
  }
  expect(writers()).toEqual(before);
});

test("a thread whose write failed ends with its store: the next one is written by another", async () => {
  const id = await accept();
  const before = writers();
  await expect(store.commit([change("no such statement")])).rejects.toMatchObject({ code: "STORE_DAMAGED" });
  await store.close();
  await until("a thread has ended", () => [...before].some((task) => !writers().has(task)));
  await open();
  const other = await accept();
  expect([id, other].map((each) => store.arrivals.find(each)?.id)).toEqual([id, other]);
});
