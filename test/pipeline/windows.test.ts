/** Delivery windows: by the clock on the wall, over midnight and over changes of that clock. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { opensAt, saysWindow, shutAt, waitingSince } from "../../pipeline/windows.ts";

const at = (text: string): number => Date.parse(text);
const night = { between: ["22:00", "06:00"], timeZone: "Asia/Taipei" } as const;

test.for([
  ["2026-11-28T21:59:59.999+08:00", "2026-11-28T22:00:00+08:00"],
  ["2026-11-28T22:00:00+08:00", undefined],
  ["2026-11-29T00:00:00+08:00", undefined],
  ["2026-11-29T05:59:59.999+08:00", undefined],
  ["2026-11-29T06:00:00+08:00", "2026-11-29T22:00:00+08:00"],
] as const)("over midnight: at %s it opens %s", ([now, opens]) => {
  expect(opensAt(night, at(now))).toBe(opens && at(opens));
});

const newYork = (from: string, to: string) => ({ between: [from, to] as const, timeZone: "America/New_York" });

test.for([
  ["the day is an hour shorter", newYork("22:00", "23:00"), "2026-03-07T23:30:00-05:00", "2026-03-08T22:00:00-04:00"],
  ["its beginning is left out", newYork("02:30", "04:00"), "2026-03-08T00:00:00-05:00", "2026-03-08T03:00:00-04:00"],
  ["the day is an hour longer", newYork("22:00", "23:00"), "2026-10-31T23:30:00-04:00", "2026-11-01T22:00:00-05:00"],
  ["its time comes twice", newYork("01:10", "01:20"), "2026-11-01T01:30:00-04:00", "2026-11-01T01:10:00-05:00"],
] as const)("the clock is changed: %s", ([, window, now, opens]) => {
  expect(new Date(opensAt(window, at(now)) ?? 0).toISOString()).toBe(new Date(opens).toISOString());
});

describe("whatever the window, zone and moment", () => {
  const time = fc.integer({ min: 0, max: 1439 }).map((n) => `${pad(Math.floor(n / 60))}:${pad(n % 60)}`);
  const pad = (n: number): string => String(n).padStart(2, "0");
  const zone = fc.constantFrom("Asia/Taipei", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "UTC");
  // Two years of minutes, with the changes of the clock often among them.
  const moment = fc.oneof(
    fc.integer({ min: at("2026-01-01T00:00Z"), max: at("2027-12-31T00:00Z") }),
    fc.constantFrom("2026-03-08T06:00Z", "2026-11-01T05:00Z", "2026-03-29T00:00Z", "2026-10-04T15:00Z").map(at),
  );

  test("it opens at the first minute at which it is open", () => {
    fc.assert(
      fc.property(time, time, zone, moment, (from, to, timeZone, now) => {
        fc.pre(from !== to);
        const window = { between: [from, to], timeZone } as const;
        const opens = opensAt(window, now);
        if (opens === undefined) return;
        expect(opens).toBeGreaterThan(now);
        expect(opensAt(window, opens)).toBeUndefined();
        const minute = Math.ceil(now / 60_000) * 60_000;
        // A quarter of an hour is what the coarsest of them can be late by and not be noticed here.
        for (let each = minute; each < opens; each += 60_000 * 15) expect(opensAt(window, each)).toBe(opens);
        expect(opensAt(window, opens - 1)).toBe(opens);
      }),
      { numRuns: 300 },
    );
  });
});

const config = {
  timeZone: "Asia/Taipei",
  partners: { registry: {} },
  own: { systems: { pacs: { window: { between: ["22:00", "06:00"] as const } }, his: {} } },
};

test("what waits for a window is not late, and says so; inside it age counts from its opening", () => {
  const [noon, past] = [at("2026-11-28T12:00:00+08:00"), at("2026-11-28T23:00:00+08:00")];
  const queues = ["pacs", "his"].map((destination) => ({ destination, since: at("2026-11-28T08:00:00+08:00") }));
  expect(shutAt(config, noon).map(({ destination }) => destination)).toEqual(["pacs"]);
  expect(waitingSince(config, queues, noon)).toEqual([queues[1]]);
  const opened = { destination: "pacs", since: at("2026-11-28T22:00:00+08:00") };
  expect(waitingSince(config, queues, past)).toEqual([opened, queues[1]]);
  const lines = ["queued", "parked"].map((state) => ({ destination: "pacs", state, reason: null }));
  expect(saysWindow(config, lines, noon)).toMatchObject([
    { reason: "waits for its window, opens at 2026-11-28T14:00:00.000Z" },
    { reason: null },
  ]);
  expect(saysWindow(config, lines, past)).toEqual(lines);
});
