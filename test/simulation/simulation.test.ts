/**
 * Journal and delivery under thousands of schedules of crashes (F21). `SEED=n npx vitest run test/simulation` replays one
 * that failed; `SCHEDULES=n FIRST_SEED=m` runs others.
 */
import { expect, test } from "vitest";
import { runSchedule } from "./schedule.ts";

const { SEED, SCHEDULES = "2000", FIRST_SEED = "1" } = process.env;

test.skipIf(SEED)(
  `${SCHEDULES} schedules: every promise holds at every step`,
  async () => {
    const first = Number(FIRST_SEED);
    for (let seed = first; seed < first + Number(SCHEDULES); seed += 1)
      await runSchedule(seed).catch((cause: unknown) => {
        throw new Error(`SEED=${seed}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
      });
  },
  Number(SCHEDULES) * 300,
);

test("the same seed is the same schedule, step by step", async () => {
  const seed = Number(SEED ?? 7);
  const [one, other] = [await runSchedule(seed), await runSchedule(seed)];
  expect(other.told).toEqual(one.told);
  expect(one.told.length).toBeGreaterThan(5);
});
