/** What the waiting room hears of associations: the same by any clock, and no more than it needs of one that stays open for weeks. */
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

test("a study to which an open association has sent nothing for long is forgotten, and nobody is told of it at its end", async () => {
  let clock = 0;
  const now = (): number => clock;
  const associations = openAssociations(now, now);
  const { promise, resolve: close } = Promise.withResolvers<void>();
  const session = { id: "gateway", ended: promise };
  const ended: string[] = [];
  const send = (study: string): void => associations.sends(study, session, () => ended.push(study));
  for (; clock < 1_000; clock += 1) send(`old${clock}`);
  send("again");
  clock = 5_000;
  send("again");
  send("young");
  associations.forget(1_000);
  const isOpen = (study: string): boolean => associations.heard([study]).isOpen;
  expect(["old0", "old999", "again", "young"].map(isOpen)).toEqual([false, false, true, true]);
  clock = 6_000;
  close();
  await promise;
  expect(ended).toEqual(["again", "young"]);
  expect(["old0", "young"].map((study) => associations.heard([study]))).toEqual([
    { isOpen: false, at: 0 },
    { isOpen: false, at: 6_000 },
  ]);
});
