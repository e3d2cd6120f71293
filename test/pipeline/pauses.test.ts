/** A destination that nobody reaches is probed, by one delivery at a time; what waits for it goes at once when it is back. */
import { expect, test } from "vitest";
import { openPauses } from "../../pipeline/pauses.ts";

const retry = { first: 1_000, max: 300_000 };

test("seven failures in a row pause nothing, the eighth does; a success between begins anew", () => {
  const pauses = openPauses(() => retry);
  const fail = (times: number): readonly unknown[] =>
    Array.from({ length: times }, () => pauses.ended("his", "PEER_UNREACHABLE", 0));
  expect(fail(7)).toEqual(Array(7).fill(undefined));
  expect(pauses.ended("his", undefined, 0)).toBeUndefined();
  expect(fail(8)).toEqual([...Array(7).fill(undefined), "began"]);
  expect(pauses.limit("his", 4, 0)).toBe(0);
  expect(pauses.limit("pacs", 4, 0)).toBe(4);
  expect(pauses.closed(0)).toEqual(["his"]);
});

test("probes one at a time, twice as long apart up to half a minute; the first that is taken ends it", () => {
  const pauses = openPauses(() => retry);
  let now = 0;
  for (let n = 0; n < 8; n += 1) pauses.ended("his", "PEER_UNREACHABLE", now);
  const gaps = Array.from({ length: 8 }, () => {
    const due = pauses.next(now) ?? 0;
    const gap = due - now;
    now = due;
    expect(pauses.limit("his", 4, now)).toBe(1);
    expect(pauses.ended("his", "PEER_UNREACHABLE", now)).toBe("goes on");
    return gap;
  });
  expect(gaps).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
  now += 30_000;
  expect(pauses.ended("his", "PEER_REFUSED", now)).toBe("is over");
  expect(pauses.limit("his", 4, now)).toBe(4);
});

test("one whose probe is due hides no other's time", () => {
  const pauses = openPauses(() => retry);
  for (const [destination, at] of [
    ["his", 0],
    ["pacs", 5_000],
  ] as const)
    for (let n = 0; n < 8; n += 1) pauses.ended(destination, "PEER_UNREACHABLE", at);
  expect(pauses.next(5_500)).toBe(6_000);
});
