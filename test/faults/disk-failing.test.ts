/** A disk that fails while nothing is being written (reliability.md F4): whoever meets it first, by reading or by writing, ends the house. */
import { once } from "node:events";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { sealPart } from "../../envelope/index.ts";
import { openStore } from "../../store/index.ts";
import type { Store } from "../../store/store.ts";
import { octets, wire } from "../envelope/people.ts";
import { until } from "../sites.ts";
import { arrivalRow } from "../store/rows.ts";
import { type Disk, disks, makeDisk } from "./disk.ts";
import { type House, makeHome, startHouse } from "./house.ts";
import { lostOf, openLoad } from "./load.ts";

const disk = disks();
let house: House | undefined;
let store: Store | undefined;
let mounted: Disk | undefined;
afterEach(async () => {
  await house?.end("SIGKILL");
  // It can close nothing properly on a disk that is gone.
  await store?.close().catch(() => undefined);
  mounted?.remove();
  [house, store, mounted] = [undefined, undefined, undefined];
});

/** A store that has written everything, on a disk of its own. */
async function storeAtRest(): Promise<{ readonly store: Store; readonly mounted: Disk; readonly id: string }> {
  mounted = makeDisk(96);
  const folder = join(mounted.path, "data");
  store = await openStore({ folder, key: new Uint8Array(32), now: () => new Date(), minFreeBytes: 1 });
  // Of what is taken, and of what is made ahead for the next.
  const { change } = await put(store, 100_000);
  const row = arrivalRow(store.newId());
  await store.commit([change, store.arrivals.add(row)]);
  return { store, mounted, id: row.id };
}

const put = async (to: Store, size: number) => {
  const part = sealPart(wire(octets(size, size)), "segments");
  return await to.blobs.put(part.cipher, part.facts);
};

describe.skipIf(!disk.available)(`a disk of its own ${disk.reason}`, () => {
  test("F4 a commit of nothing tells whether the disk would keep something", async () => {
    const { store, mounted } = await storeAtRest();
    for (let n = 0; n < 2; n += 1) await store.commit([]);
    mounted.cut();
    await expect(store.commit([])).rejects.toMatchObject({ code: "STORE_DAMAGED" });
  });

  test("F4 an index that cannot be read is a failure of the store", async () => {
    const { store, mounted, id } = await storeAtRest();
    mounted.cut();
    expect(() => store.arrivals.find(id)).toThrow(expect.objectContaining({ code: "STORE_DAMAGED" }));
    expect(await store.failed).toMatchObject({ code: "STORE_DAMAGED" });
  });

  test.for([100_001, 3_000_000])("F4 a body of %i octets that cannot be written is one, too", async (size) => {
    const { store, mounted } = await storeAtRest();
    const part = sealPart(wire(octets(size, 1)), "segments");
    const cut = (async function* () {
      for await (const piece of part.cipher) {
        yield piece;
        mounted.cut();
      }
    })();
    await expect(store.blobs.take(cut, part.facts, () => true).then(({ durable }) => durable())).rejects.toMatchObject({
      code: "STORE_DAMAGED",
    });
    expect(await store.failed).toMatchObject({ code: "STORE_DAMAGED" });
  });

  test.for([100_001, 3_000_000])("F4 nor can one of %i octets where the file system takes no writes", async (size) => {
    const { store, mounted } = await storeAtRest();
    mounted.refuse();
    await expect(put(store, size)).rejects.toMatchObject({
      code: "STORE_DAMAGED",
      message: expect.not.stringContaining(mounted.path),
    });
    expect(await store.failed).toMatchObject({ code: "STORE_DAMAGED" });
  });

  test("F4 a house that waits when its disk fails ends with the next message, and loses nothing", async () => {
    mounted = makeDisk(256);
    const home = await makeHome(join(mounted.path, "data"));
    house = await startHouse(home);
    const before = openLoad(house.his, 2, "BEFORE.");
    await until("load is under way", () => before.acknowledged.size >= 20);
    await before.stop();
    const ended = once(house.process, "close");
    mounted.cut();
    const after = openLoad(house.his, 2, "AFTER.");
    const [exit] = (await ended) as [number | null];
    await after.stop();
    expect([65, 70]).toContain(exit);
    expect([...after.acknowledged]).toEqual([]);
    mounted.restore();
    house = await startHouse(home);
    expect(await lostOf(house, before.acknowledged)).toEqual([]);
  }, 60_000);
});
