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
  await openPace(clock(0)).quiet();
});

test("it waits for every message that is being accepted, and a moment longer", async () => {
  let ms = 0;
  const pace = openPace(() => ms);
  const [one, other] = [pace.begin(), pace.begin()];
  let isQuiet = false;
  const quiet = pace.quiet().then(() => {
    isQuiet = true;
  });
  const looked = async (): Promise<boolean> => {
    for (let n = 0; n < 3; n += 1) await new Promise((resolve) => setTimeout(resolve, 10));
    return isQuiet;
  };
  one();
  one();
  ms += 20;
  expect(await looked()).toBe(false);
  other();
  expect(await looked()).toBe(false);
  ms += 20;
  await quiet;
});

test("under a load that never pauses it goes on all the same", async () => {
  const pace = openPace(clock(10));
  pace.begin();
  await pace.quiet();
});
