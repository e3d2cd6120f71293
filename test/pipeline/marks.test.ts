/** Which deliveries a crash would find marked as on the wire: the one whose turn it is, and the next ones where nobody has to decide. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { openMarks, type Turn } from "../../pipeline/marks.ts";
import { openStore } from "../../store/index.ts";
import type { Delivery, Store } from "../../store/store.ts";

let stop: (() => Promise<void>) | undefined;
afterEach(async () => await stop?.());

type House = { readonly store: Store; readonly all: readonly Delivery[]; readonly turns: readonly Turn[] };

/** Seven messages to `his` and one to `other`, each of whose attempts has begun. */
async function begun(ahead: number): Promise<House> {
  const folder = mkdtempSync(join(tmpdir(), "semrs-marks-"));
  const store = await openStore({ folder, key: new Uint8Array(32), now: () => new Date() });
  stop = () => store.close();
  const all = Array.from({ length: 8 }, (_, n): Delivery => {
    const destination = n === 1 ? "other" : "his";
    return {
      ...{ id: store.newId(), kind: "message", channel: "incoming", destination, order: null, record: null },
      ...{ state: "queued", attempts: 1, due: 0, code: null, reason: null, payload: null },
      createdAt: new Date().toISOString(),
    };
  });
  await store.commit(all.map(store.deliveries.add));
  const begins = openMarks(store, () => ahead);
  return { store, all, turns: all.map(begins) };
}
const marked = ({ store, all }: House): readonly number[] =>
  all.flatMap(({ id }, n) => (store.deliveries.find(id)?.state === "inflight" ? [n] : []));

test("nobody is marked while nobody has a connection", async () => {
  const house = await begun(4);
  await house.store.commit([]);
  expect(marked(house)).toEqual([]);
});

test("who has a connection takes those with it that wait for one there, and more once half of them have gone", async () => {
  const house = await begun(4);
  await house.turns[0]?.onTheWire();
  expect(marked(house)).toEqual([0, 2, 3, 4, 5]);
  await house.turns[2]?.onTheWire();
  await house.store.commit([]);
  expect(marked(house)).toEqual([0, 2, 3, 4, 5]);
  await house.turns[3]?.onTheWire();
  await house.store.commit([]);
  expect(marked(house)).toEqual([0, 2, 3, 4, 5, 6, 7]);
});

test("where a person would have to decide about them, each is marked when its turn has come", async () => {
  const house = await begun(0);
  await house.turns[0]?.onTheWire();
  expect(marked(house)).toEqual([0]);
  await house.turns[2]?.onTheWire();
  expect(marked(house)).toEqual([0, 2]);
});

test("one whose attempt has ended is not taken along", async () => {
  const house = await begun(4);
  house.turns[3]?.end();
  await house.turns[0]?.onTheWire();
  expect(marked(house)).toEqual([0, 2, 4, 5, 6]);
});

test("one that was discarded meanwhile does not go out, and holds none of the others up", async () => {
  const house = await begun(4);
  await house.store.commit([house.store.deliveries.mark(house.all[2]?.id ?? "", { state: "discarded" })]);
  await house.turns[0]?.onTheWire();
  await expect(house.turns[2]?.onTheWire()).rejects.toMatchObject({ code: "STORE_CONFLICT" });
  await house.turns[3]?.onTheWire();
  expect(marked(house)).toContain(3);
});

test("who was taken along by a commit that failed is marked when its own turn has come", async () => {
  const house = await begun(4);
  const { store, all } = house;
  let fails = true;
  const commit: Store["commit"] = async (...of) => {
    if (fails) throw new Error("the disk is full");
    await store.commit(...of);
  };
  const begins = openMarks({ deliveries: store.deliveries, commit }, () => 4);
  const turns = all.map(begins);
  await expect(turns[0]?.onTheWire()).rejects.toThrow("full");
  fails = false;
  await turns[2]?.onTheWire();
  expect(marked(house)).toEqual([2, 3, 4, 5, 6]);
});
