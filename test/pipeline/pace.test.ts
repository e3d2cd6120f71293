/** Pace: what was answered waits for those that are not, and never for ever. */
import { expect, test } from "vitest";
import { openPace } from "../../pipeline/pace.ts";

/** A clock that each look moves on by so much. */
const clock = (step: number): (() => number) => {
  let ms = 0;
  return () => {
    ms += step;
    return ms;
  };
};

test("with nothing under way there is nothing to wait for", async () => {
  await openPace({ now: clock(0), load: () => 1 }).quiet();
});

test("it waits for every message that is being accepted, and a moment longer", async () => {
  let ms = 0;
  const pace = openPace({ now: () => ms, load: () => 1 });
  const [one, other] = [pace.begin(), pace.begin()];
  let isQuiet = false;
  const quiet = pace.quiet().then(() => {
    isQuiet = true;
  });
  const looked = async (): Promise<boolean> => {
    for (let n = 0; n < 4; n += 1) await new Promise((resolve) => setTimeout(resolve, 10));
    return isQuiet;
  };
  one();
  one();
  ms += 60;
  expect(await looked()).toBe(false);
  other();
  expect(await looked()).toBe(false);
  ms += 60;
  await quiet;
});

test("under a load that never pauses it goes on all the same", async () => {
  const pace = openPace({ now: clock(10), load: () => 1 });
  pace.begin();
  await pace.quiet();
});

test("where acceptance leaves time over, it is used", async () => {
  const pace = openPace({ now: clock(0), load: () => 0.3 });
  pace.begin();
  await pace.quiet();
});
