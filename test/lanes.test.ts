/** Lanes: a backlog of one sender never stands before another's message. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { openLanes } from "../pipeline/lanes.ts";

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("a live message overtakes a night batch of 50,000 of another connection", async () => {
  const lanes = openLanes({ perSender: 16, total: 128 });
  const order: string[] = [];
  const work = async (sender: string, name: string): Promise<void> => {
    const leave = await lanes.enter(sender);
    await settled();
    order.push(name);
    leave();
  };
  const batch = Array.from({ length: 50_000 }, (_, n) => work("night", `night ${n}`));
  await settled();
  const live = work("live", "live");
  await live;
  // What was under way when it came may end before it; none of those that waited does.
  expect(order.indexOf("live")).toBeLessThanOrEqual(3 * 16);
  await Promise.all(batch);
  expect(order.filter((name) => name !== "live")).toEqual(Array.from({ length: 50_000 }, (_, n) => `night ${n}`));
});

test("beside others a sender has fewer under way, and all of its own again once it is alone", async () => {
  const lanes = openLanes({ perSender: 16, beside: 4, total: 128 });
  let [underWay, most] = [0, 0];
  const work = async (sender: string): Promise<void> => {
    const leave = await lanes.enter(sender);
    underWay += 1;
    most = Math.max(most, underWay);
    await settled();
    underWay -= 1;
    leave();
  };
  for (let n = 0; n < 20; n += 1) {
    const batch = Array.from({ length: 20 }, () => work("night"));
    await work("live");
    await Promise.all(batch);
  }
  expect(most).toBe(5);
  await Promise.all(Array.from({ length: 600 }, () => work("night")));
  expect(most).toBe(16);
});

test("with all places taken the senders come by turns", async () => {
  const lanes = openLanes({ perSender: 16, total: 1 });
  const first = await lanes.enter("a");
  const order: string[] = [];
  const work = async (sender: string): Promise<void> => {
    const leave = await lanes.enter(sender);
    order.push(sender);
    leave();
  };
  const all = Promise.all(["a", "a", "a", "b", "b", "c"].map(work));
  first();
  await all;
  expect(order).toEqual(["a", "b", "c", "a", "b", "a"]);
});

test("no more than may be are under way, each sender's in order, and nothing is left over", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 60 }),
      fc.integer({ min: 1, max: 4 }),
      fc.integer({ min: 1, max: 6 }),
      async (senders, perSender, total) => {
        const lanes = openLanes({ perSender, total });
        const busy = new Map<number, number>();
        const ends = new Map<number, number[]>();
        let all = 0;
        await Promise.all(
          senders.map(async (sender, n) => {
            const leave = await lanes.enter(String(sender));
            all += 1;
            busy.set(sender, (busy.get(sender) ?? 0) + 1);
            expect(all).toBeLessThanOrEqual(total);
            expect(busy.get(sender)).toBeLessThanOrEqual(perSender);
            ends.set(sender, [...(ends.get(sender) ?? []), n]);
            await settled();
            all -= 1;
            busy.set(sender, (busy.get(sender) ?? 1) - 1);
            leave();
          }),
        );
        for (const order of ends.values()) expect(order).toEqual([...order].sort((one, other) => one - other));
      },
    ),
    { numRuns: 40 },
  );
});
