/** Pace: what follows an acknowledgement waits for intake, never for ever, and never takes two turns of the loop in a row. */
import { expect, test } from "vitest";
import { longestMs, openPace } from "../../pipeline/pace.ts";

/** A pace whose clock stands still but for its own pauses, and is moved on by hand. */
function paceAt() {
  let ms = 0;
  let pauses = 0;
  const pace = openPace(
    () => ms,
    async (pause) => {
      ms += pause;
      pauses += 1;
    },
  );
  const passes = (more: number): void => {
    ms += more;
  };
  return { pace, passes, pauses: () => pauses, at: () => ms };
}

test("with nothing under way there is nothing to wait for", async () => {
  const { pace, pauses, passes } = paceAt();
  passes(10_000);
  await pace.quiet(pace.now());
  expect(pauses()).toBe(0);
});

test("it waits while messages are being taken in, until they leave more than half of the time over", async () => {
  const { pace, passes, pauses, at } = paceAt();
  const [one, other] = [pace.begin(), pace.begin()];
  passes(100);
  one();
  one();
  // Taken in for all of the time, then for less than half of it.
  const quiet = pace.quiet(at());
  passes(5);
  other();
  await quiet;
  expect(pauses()).toBeGreaterThan(0);
  expect(at()).toBeLessThan(longestMs);
});

test("a trickle of messages holds nothing back", async () => {
  const { pace, passes, pauses } = paceAt();
  for (let n = 0; n < 100; n += 1) {
    const end = pace.begin();
    passes(2);
    end();
    passes(8);
    await pace.quiet(pace.now());
  }
  expect(pauses()).toBe(0);
});

test("where intake never ends it waits no longer than it may, and what has waited so long goes at once", async () => {
  const { pace, passes, at } = paceAt();
  pace.begin();
  passes(1_000);
  const since = at();
  await pace.quiet(since);
  expect(at() - since).toBeGreaterThanOrEqual(longestMs);
  const before = at();
  await pace.quiet(since);
  expect(at()).toBe(before);
});

test("who waits with one of few places waits to the end of its own wait, and no longer", async () => {
  const { pace, passes, at } = paceAt();
  pace.begin();
  passes(1_000);
  const since = at();
  passes(longestMs - 3);
  await pace.quiet(since);
  expect(at() - since).toBe(longestMs);
});

test("between two turns comes whatever else is ready, and those who asked first go first", async () => {
  const { pace } = paceAt();
  const seen: string[] = [];
  const turns = ["one", "two", "three"].map((name) => pace.turn().then(() => seen.push(name)));
  // Begun in the turn of the first, it comes before the second's.
  const other = new Promise<void>((resolve) =>
    setImmediate(() =>
      setImmediate(() => {
        seen.push("other");
        resolve();
      }),
    ),
  );
  await Promise.all([...turns, other]);
  expect(seen.indexOf("one")).toBe(0);
  expect(seen.indexOf("other")).toBeLessThan(seen.indexOf("three"));
  expect(seen.filter((each) => each !== "other")).toEqual(["one", "two", "three"]);
});
