/** What is heard of associations whatever is done to the clock. */
import { expect, test } from "vitest";
import { openAssociations } from "../../pipeline/associations.ts";

test("a clock that is set back, or ahead, makes no silence longer or shorter", async () => {
  let [wall, steady] = [1_700_000_000_000 + 8 * 3_600_000, 500];
  const associations = openAssociations(
    () => wall,
    () => steady,
  );
  const silent = (study: string): number => wall - associations.heard([study]).at;
  const { promise: ended, resolve: end } = Promise.withResolvers<void>();
  associations.sends("1.2", { id: "1", ended }, () => undefined);
  [wall, steady] = [wall + 1_000, steady + 1_000];
  end();
  await ended;
  [wall, steady] = [wall - 8 * 3_600_000 + 2_000, steady + 2_000];
  expect([silent("1.2"), silent("1.3")]).toEqual([2_000, 3_000]);
  wall += 86_400_000;
  expect([silent("1.2"), silent("1.3")]).toEqual([2_000, 3_000]);
});
