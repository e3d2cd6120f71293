/** The timetable: each key looked at once, when the earliest that was asked for is due, in order, whatever a look throws. */
import fc from "fast-check";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { openTimetable } from "../../pipeline/timetable.ts";

beforeEach(() => void vi.useFakeTimers({ now: 1_000_000 }));
afterEach(() => void vi.useRealTimers());

test("whatever is asked for in whatever order, every key is looked at once, at its earliest", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.integer({ min: 0, max: 20 }), fc.integer({ min: 0, max: 5_000 })), { maxLength: 60 }),
      async (asked) => {
        const start = Date.now();
        const table = openTimetable(() => 0);
        const looked: (readonly [string, number])[] = [];
        for (const [key, after] of asked)
          table.by(String(key), start + after, async () => void looked.push([String(key), Date.now() - start]));
        await vi.advanceTimersByTimeAsync(6_000);
        const earliest = new Map<string, number>();
        for (const [key, after] of asked)
          earliest.set(String(key), Math.min(after, earliest.get(String(key)) ?? Number.POSITIVE_INFINITY));
        expect(new Map(looked)).toEqual(earliest);
        expect(looked).toHaveLength(earliest.size);
        expect(looked.map(([, at]) => at)).toEqual(looked.map(([, at]) => at).sort((one, other) => one - other));
        await table.stop();
      },
    ),
    { numRuns: 200 },
  );
});

test("a look says when to look again; one that throws is repeated when the owner says", async () => {
  const start = Date.now();
  const table = openTimetable(() => Date.now() + 50);
  const at: number[] = [];
  table.by("k", start + 10, async () => {
    at.push(Date.now() - start);
    if (at.length === 1) throw new Error("the first fails");
    return at.length === 2 ? Date.now() + 100 : undefined;
  });
  await vi.advanceTimersByTimeAsync(1_000);
  expect(at).toEqual([10, 60, 160]);
});

test("a clock that is set back by years makes no look wait for years", async () => {
  const table = openTimetable(() => 0);
  let looks = 0;
  const look = async (): Promise<undefined> => {
    looks += 1;
  };
  table.by("k", Date.now() + 100, look);
  vi.setSystemTime(Date.now() - 5 * 365 * 24 * 3_600_000);
  await vi.advanceTimersByTimeAsync(50);
  expect(looks).toBe(0);
  await vi.advanceTimersByTimeAsync(60);
  expect(looks).toBe(1);
  await table.stop();
});

test("what is asked for while its look runs is looked at after it, and nothing after the end", async () => {
  const table = openTimetable(() => 0);
  let looks = 0;
  const look = async (): Promise<undefined> => {
    looks += 1;
    if (looks === 1) table.by("k", Date.now(), look);
  };
  table.by("k", Date.now(), look);
  await vi.advanceTimersByTimeAsync(100);
  expect(looks).toBe(2);
  table.by("k", Date.now() + 10, look);
  await table.stop();
  await vi.advanceTimersByTimeAsync(1_000);
  expect(looks).toBe(2);
});
