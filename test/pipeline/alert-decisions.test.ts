/** When an alert begins and ends: of what is open, what is found, and the time. */
import { describe, expect, test } from "vitest";
import { type AlertFacts, type AlertLimits, alertsIn, turnsOf, usualSilence } from "../../pipeline/alert-decisions.ts";

const now = Date.parse("2026-11-28T12:00:00Z");
const [minuteMs, hourMs] = [60_000, 3_600_000];
const limits: AlertLimits = { queueAge: 15 * minuteMs, heldAge: 4 * hourMs, emergencyAge: 72 * hourMs, silent: true };
const well: AlertFacts = {
  queues: [{ destination: "registry", since: now - 15 * minuteMs }],
  heldSince: now - 4 * hourMs,
  emergencySince: now - 72 * hourMs,
  feeds: [],
  certificates: [{ name: "sign", days: 60, isRevoked: false }],
  disk: { freeBytes: 2, minFreeBytes: 2 },
  isBalanced: true,
  missing: 0,
};
const keys = (facts: Partial<AlertFacts>, more: Partial<AlertLimits> = {}): readonly string[] =>
  alertsIn({ ...well, ...facts }, { ...limits, ...more }, now).map(({ key }) => key);

test("at its limits a site is well", () => expect(keys({})).toEqual([]));

test.each<[string, Partial<AlertFacts>, readonly string[]]>([
  [
    "a delivery that waits too long",
    { queues: [{ destination: "his", since: now - 16 * minuteMs }] },
    ["queue-age his"],
  ],
  ["something held", { heldSince: now - 4 * hourMs - 1 }, ["held-age"]],
  ["an access in an emergency that nobody has reviewed", { emergencySince: now - 72 * hourMs - 1 }, ["emergency"]],
  ["none of them", { emergencySince: null }, []],
  ["nothing held", { heldSince: null }, []],
  [
    "a certificate below 60 days",
    { certificates: [{ name: "tls", days: 59, isRevoked: false }] },
    ["certificate tls 60"],
  ],
  [
    "one below 7 days: what was told before still holds",
    { certificates: [{ name: "tls", days: 6, isRevoked: false }] },
    ["certificate tls 60", "certificate tls 30", "certificate tls 7"],
  ],
  [
    "one that was revoked",
    { certificates: [{ name: "sign", days: 700, isRevoked: true }] },
    ["certificate sign revoked"],
  ],
  ["a disk without inodes", { disk: { freeBytes: 2, minFreeBytes: 2, isOutOfFiles: true } }, ["disk inodes"]],
  ["a full disk", { disk: { freeBytes: 1, minFreeBytes: 2 } }, ["disk"]],
  ["what does not reconcile", { isBalanced: false }, ["reconciliation"]],
  ["what was not looked at yet", { isBalanced: undefined }, []],
  ["a clock that is wrong", { clock: "behind" }, ["clock"]],
  ["a gap in the journal", { missing: 2 }, ["journal-gap"]],
])("%s", (_what, facts, expected) => expect(keys(facts)).toEqual(expected));

test("what hovers about its limit stays told, and ends once it is well within", () => {
  const looked = (open: readonly string[], minutesOld: number, freeBytes: number): readonly string[] =>
    alertsIn(
      {
        ...well,
        queues: [{ destination: "his", since: now - minutesOld * minuteMs }],
        disk: { freeBytes, minFreeBytes: 100 },
      },
      limits,
      now,
      open.map((key) => ({ key })),
    ).map(({ key }) => key);
  const both = ["queue-age his", "disk"];
  expect(looked([], 14, 101)).toEqual([]);
  expect(looked([], 16, 99)).toEqual(both);
  expect(looked(both, 14, 101)).toEqual(both);
  expect(looked(both, 13, 109)).toEqual(both);
  expect(looked(both, 12, 110)).toEqual([]);
  expect(looked(["queue-age pacs"], 14, 101)).toEqual([]);
});

describe("a feed that is silent", () => {
  const hours = (...runs: readonly (readonly [boolean, number])[]) =>
    runs.flatMap(([isBusy, count]) => Array.from({ length: count }, () => isBusy));
  const always = hours([true, 168]);
  const office = Array.from({ length: 7 }).flatMap(() => hours([true, 10], [false, 14]));
  test.each([
    ["that never rests is missed after two hours", always, 2],
    ["of working hours is not missed at night", office, 16],
    ["of one weekday is missed after a week", hours([true, 8], [false, 150], [true, 10]), 152],
  ])("one %s", (_what, week, expected) => {
    expect(usualSilence(week)).toBe(expected * hourMs);
    const silent = (ms: number) =>
      keys({ feeds: [{ system: "his", last: now - expected * hourMs - ms, hours: week }] });
    expect([silent(0), silent(1)]).toEqual([[], ["silent-feed his"]]);
  });
  test("what is usual is not known on the first day, and nobody is missed who was switched off", () => {
    expect(usualSilence(hours([true, 23]))).toBe(Number.POSITIVE_INFINITY);
    expect(usualSilence([])).toBe(Number.POSITIVE_INFINITY);
    const feeds = [{ system: "his", last: 0, hours: always }];
    expect([keys({ feeds }), keys({ feeds }, { silent: false })]).toEqual([["silent-feed his"], []]);
  });
});

test("each alert turns once: raised when it was not open, resolved when it holds no more", () => {
  const [disk, gap] = alertsIn({ ...well, disk: { freeBytes: 1, minFreeBytes: 2 }, missing: 1 }, limits, now);
  if (!disk || !gap) throw new Error("neither holds");
  expect(turnsOf([], [disk])).toEqual({ raised: [disk], resolved: [] });
  expect(turnsOf([disk], [{ ...disk, says: "in other words" }])).toEqual({ raised: [], resolved: [] });
  expect(turnsOf([disk], [gap])).toEqual({ raised: [gap], resolved: [disk] });
});
