/** Work in pieces: all of it, in order, and never more than a few in one turn. */
import { expect, test } from "vitest";
import { bySlices } from "../../pipeline/slices.ts";

test("each is made once, in order, eight a turn", async () => {
  const made: number[] = [];
  const turns: number[] = [];
  const turn = async (): Promise<void> => void turns.push(made.length);
  const items = Array.from({ length: 20 }, (_, n) => n);
  const results = await bySlices(items, turn, (item, n) => {
    made.push(item);
    return item * 10 + n;
  });
  expect(results).toEqual(items.map((n) => n * 11));
  expect(made).toEqual(items);
  expect(turns).toEqual([8, 16]);
});

test("what fits one turn takes no other", async () => {
  const never = async (): Promise<void> => expect.unreachable("a turn of its own");
  expect(await bySlices([1, 2], never, (item) => item)).toEqual([1, 2]);
  expect(await bySlices([], never, (item) => item)).toEqual([]);
});
