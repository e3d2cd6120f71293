/** Faults of the disk under load (reliability.md F2, F3) and of the operator (F7): nothing acknowledged is lost. */
import { once } from "node:events";
import { mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { codeOf } from "../../errors.ts";
import { openStore } from "../../store/index.ts";
import { until } from "../sites.ts";
import { type Disk, disks, makeDisk } from "./disk.ts";
import { type House, makeHome, startHouse } from "./house.ts";
import { lostOf, openLoad } from "./load.ts";
import { envOf, type Mutant } from "./mutants.ts";

const disk = disks();
let house: House | undefined;
let mounted: Disk | undefined;
afterEach(async () => {
  await house?.end("SIGKILL");
  mounted?.remove();
  [house, mounted] = [undefined, undefined];
});

const connections = 8;

/** Power cuts under load, each followed by a start; how much was acknowledged and is not there. */
async function cutUnderLoad(cuts: number, messages: number, mutant?: Mutant) {
  mounted = makeDisk(256);
  const made = await makeHome(join(mounted.path, "data"));
  const home = mutant ? { ...made, env: { ...made.env, ...envOf(mutant) } } : made;
  const acknowledged = new Map<string, string>();
  for (let cut = 1; cut <= cuts; cut += 1) {
    house = await startHouse(home);
    const load = openLoad(house.his, connections, `CUT${cut}.`);
    await until("load is under way", () => load.acknowledged.size >= messages);
    mounted.cut();
    await house.end("SIGKILL");
    await load.stop();
    for (const [controlId, digest] of load.acknowledged) acknowledged.set(controlId, digest);
    mounted.restore();
  }
  house = await startHouse(home);
  const { status } = await fetch(`http://127.0.0.1:${home.env.ADMIN}/health/ready`);
  return { acknowledged, lost: await lostOf(house, acknowledged), isReady: status === 200 };
}

describe.skipIf(!disk.available)(`a disk of its own ${disk.reason}`, () => {
  test("F2 three power cuts under load: everything acknowledged is there, and the house is ready", async () => {
    const { acknowledged, lost, isReady } = await cutUnderLoad(3, 80);
    expect({ lost, isReady }).toEqual({ lost: [], isReady: true });
    expect(acknowledged.size).toBeGreaterThanOrEqual(240);
  }, 120_000);

  test("F2 the same cut convicts a house that answers before its commit is on the disk", async () => {
    const { lost, isReady } = await cutUnderLoad(2, 80, "synchronous-off");
    expect(lost.length > 0 || !isReady).toBe(true);
  }, 120_000);

  test("F4 a disk that fails under load: the house ends by itself, and a new start has everything acknowledged", async () => {
    mounted = makeDisk(256);
    const home = await makeHome(join(mounted.path, "data"));
    house = await startHouse(home);
    const load = openLoad(house.his, connections, "FAIL.");
    await until("load is under way", () => load.acknowledged.size >= 80);
    const ended = once(house.process, "close");
    mounted.cut();
    const [exit] = (await ended) as [number | null];
    await load.stop();
    // Whoever meets the disk first: the writer (65), or something that reads (70).
    expect([65, 70]).toContain(exit);
    expect(house.log()).toMatch(/"event":"engine\.failed","code":"(STORE_DAMAGED|UNEXPECTED)"/);
    mounted.restore();
    house = await startHouse(home);
    expect(await lostOf(house, load.acknowledged)).toEqual([]);
    expect(await house.admin.get("/status")).toMatchObject({ holds: true });
  }, 120_000);

  test("F3 a full disk: AR, nothing half kept; when there is space again the same house goes on", async () => {
    mounted = makeDisk(320);
    const home = await makeHome(join(mounted.path, "data"));
    house = await startHouse(home);
    const load = openLoad(house.his, connections, "FULL.");
    await until("load is under way", () => load.acknowledged.size > 60);
    const release = mounted.fill(40);
    await until("it says that it is full", () => (load.refused.get("PEER_BUSY") ?? 0) > 8);
    const whileFull = load.acknowledged.size;
    const ready = async () => {
      const answer = await fetch(`http://127.0.0.1:${home.env.ADMIN}/health/ready`, {
        headers: { accept: "text/plain" },
      });
      return `${answer.status} ${await answer.text()}`;
    };
    expect(await ready()).toMatch(
      /^503 ready: false\npass store: .*\nfail disk: \d+ MiB free, 64 MiB in reserve: nothing is accepted/,
    );
    expect((await house.admin.get<{ arrivals: object }>("/counts")).arrivals).toBeDefined();
    release();
    await until("it accepts again", () => load.acknowledged.size > whileFull + 60);
    await load.stop();
    expect(await ready()).toMatch(/^200 ready: true\n/);
    expect(await house.admin.get("/status")).toMatchObject({ holds: true });
    expect([...load.refused.keys()]).toEqual(["PEER_BUSY"]);
    expect(house.log()).toContain("STORE_FULL");
    expect(await lostOf(house, load.acknowledged)).toEqual([]);
    expect(await house.end("SIGTERM")).toBe(0);
  }, 120_000);
});

describe.skipIf(!disk.available)(`the ballast ${disk.reason}`, () => {
  test("F3 when others have filled even the reserve, the ballast makes room for marks; it is laid again when there is space", async () => {
    mounted = makeDisk(96);
    const mebibyte = 1024 * 1024;
    const store = await openStore({
      folder: join(mounted.path, "data"),
      key: new Uint8Array(32),
      now: () => new Date(),
      minFreeBytes: 24 * mebibyte,
      ballastBytes: 16 * mebibyte,
    });
    await store.reserve.lay();
    expect(store.reserve.now().ballastBytes).toBe(16 * mebibyte);
    const release = mounted.fill(0);
    const mark = (): Promise<void> =>
      store.commit([
        store.steps.add({
          subject: store.newId(),
          at: "",
          station: "test",
          event: "marked",
          detail: "x".repeat(mebibyte),
        }),
      ]);
    for (let n = 0; n < 6; n += 1) await mark();
    expect(store.reserve.now()).toMatchObject({ ballastBytes: 0, isGivenUp: true });
    await store.reserve.lay();
    expect(store.reserve.now()).toMatchObject({ ballastBytes: 0, isGivenUp: true });
    release();
    await store.reserve.lay();
    expect(store.reserve.now()).toMatchObject({ ballastBytes: 16 * mebibyte, isGivenUp: false });
    await store.close();
  });
});

describe.skipIf(!disk.available)(`the write-ahead log ${disk.reason}`, () => {
  test("F3 pages of it that find no room in the index stay in it, and are moved when there is space again", async () => {
    mounted = makeDisk(96);
    const [folder, octets] = [join(mounted.path, "data"), 256 * 1024];
    const store = await openStore({ folder, key: new Uint8Array(32), now: () => new Date(), minFreeBytes: 1 });
    const mark = (): Promise<void> =>
      store.commit([
        store.steps.add({
          ...{ subject: store.newId(), at: "", station: "test", event: "marked" },
          detail: "x".repeat(octets),
        }),
      ]);
    const size = (): number => statSync(join(folder, "semrs.db")).size;
    const begun = size();
    const moved = (): number => size() - begun;
    for (let n = 0; n < 56; n += 1) await mark();
    const release = mounted.fill(0);
    const refused: unknown[] = [];
    for (let n = 0; n < 200; n += 1) await mark().catch((thrown: unknown) => refused.push(codeOf(thrown)));
    expect(new Set(refused)).toEqual(new Set(["STORE_FULL"]));
    expect(moved()).toBeLessThan(octets);
    release();
    await until("what was in the log is in the index", async () => {
      await mark();
      return moved() > 56 * octets;
    });
    await store.close();
  }, 60_000);
});

test("F7 SIGTERM three times under load: it ends with 0 within its grace, and nothing acknowledged is lost", async () => {
  const home = await makeHome();
  const acknowledged = new Map<string, string>();
  for (let round = 1; round <= 3; round += 1) {
    house = await startHouse(home);
    const load = openLoad(house.his, connections, `TERM${round}.`);
    await until("load is under way", () => load.acknowledged.size > 60);
    expect(await house.end("SIGTERM")).toBe(0);
    await load.stop();
    for (const [controlId, digest] of load.acknowledged) acknowledged.set(controlId, digest);
  }
  house = await startHouse(home);
  expect(await lostOf(house, acknowledged)).toEqual([]);
}, 120_000);

test("a token that a power cut left empty lets nobody in: it is made anew", async () => {
  const home = await makeHome();
  mkdirSync(home.data, { mode: 0o700 });
  writeFileSync(join(home.data, "admin.token"), "");
  house = await startHouse(home);
  const asked = await fetch(`http://127.0.0.1:${home.env.ADMIN}/counts`, { headers: { authorization: "Bearer " } });
  expect(asked.status).toBe(401);
  expect(await house.admin.get("/counts")).toMatchObject({ arrivals: {} });
});
