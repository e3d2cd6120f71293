/** How long a delivery is put off: twice as long each time, up to the longest, and a little more so that not all come back at once. */
import { expect, test } from "vitest";
import { afterFailure } from "../../pipeline/delivery-decisions.ts";

const at = {
  now: 1_000_000,
  age: 0,
  isClockOff: false,
  retry: { first: 1_000, max: 60_000, for: 86_400_000 },
  isHeld: false,
  random: 0,
};

test.each([
  [1, 1_000],
  [2, 2_000],
  [3, 4_000],
  [6, 32_000],
  [7, 60_000],
  [10_000, 60_000],
])("attempt %i that fails is followed by %i ms, and a fifth more at most", (attempts, pause) => {
  const failed = (random: number) =>
    afterFailure({ attempts, state: "inflight" }, "PEER_UNREACHABLE", { ...at, random });
  expect(failed(0)).toEqual({ state: "queued", due: at.now + pause });
  expect(failed(1).due).toBeCloseTo(at.now + pause * 1.2, 5);
});
