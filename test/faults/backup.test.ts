/** `semrs backup` under load, `semrs restore` elsewhere: everything that was acknowledged before is there, and nothing is half there. */
import {
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readSync,
  statSync,
  symlinkSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { type Backup, backUp, restore } from "../../store/backup.ts";
import { openStore } from "../../store/index.ts";
import { semrs } from "../commands/cli.ts";
import { until } from "../sites.ts";
import { disks, makeDisk } from "./disk.ts";
import { type Home, type House, makeHome, startHouse } from "./house.ts";
import { lostOf, openLoad } from "./load.ts";

let house: House | undefined;
afterEach(async () => {
  await house?.end("SIGKILL");
  house = undefined;
});

const run = ({ folder, env }: Home, ...args: readonly string[]) => semrs(args, { cwd: folder, env });
/** The same house with another data folder. */
const elsewhere = (home: Home): Home => {
  const data = join(mkdtempSync(join(tmpdir(), "semrs-restored-")), "data");
  return { ...home, data, env: { ...home.env, DATA: data } };
};

function flip(path: string, at: number): void {
  const file = openSync(path, "r+");
  const octet = Buffer.alloc(1);
  readSync(file, octet, 0, 1, at);
  octet[0] = (octet[0] ?? 0) ^ 0x10;
  writeSync(file, octet, 0, 1, at);
  closeSync(file);
}

test("a backup under load, restored elsewhere, verifies, starts ready, and has all that was acknowledged before it", async () => {
  const home = await makeHome();
  house = await startHouse(home);
  const loads = [openLoad(house.his, 4, "SMALL."), openLoad(house.his, 2, "LARGE.", { bodyBytes: 150_000 })];
  await until("load is under way", () => loads.every(({ acknowledged }) => acknowledged.size > 10));
  const before = new Map(loads.flatMap(({ acknowledged }) => [...acknowledged]));
  const target = join(home.folder, "backup");
  const taken = await run(home, "backup", target, "--json");
  const after = loads.reduce((sum, { acknowledged }) => sum + acknowledged.size, 0);
  expect(taken).toMatchObject({ exit: 0, err: "" });
  const backup = JSON.parse(taken.out) as Backup;
  expect(backup.site).toBe("hospital-a");
  expect(backup.acceptances).toBeGreaterThanOrEqual(before.size);
  // It went on meanwhile, and the backup is of one moment of it.
  await until("load goes on", () => loads.reduce((sum, { acknowledged }) => sum + acknowledged.size, 0) > after + 10);
  for (const load of loads) await load.stop();
  expect(await house.end("SIGTERM")).toBe(0);

  const other = elsewhere(home);
  const restored = await run(other, "restore", target);
  expect(restored).toMatchObject({ exit: 0, err: "" });
  for (const folder of [target, other.data])
    for (const name of readdirSync(folder, { recursive: true, encoding: "utf8" }))
      expect(statSync(join(folder, name)).mode & 0o077, name).toBe(0);
  expect(restored.out).toMatch(
    new RegExp(`^${backup.acceptances} acknowledged, \\d+ blobs, \\d+ octets: 0 damaged$`, "m"),
  );
  house = await startHouse(other);
  expect((await fetch(`http://127.0.0.1:${home.env.ADMIN}/health/ready`)).status).toBe(200);
  expect(await house.admin.get("/status")).toMatchObject({ holds: true, acknowledged: backup.acceptances });
  expect(await lostOf(house, before)).toEqual([]);
  expect(await house.end("SIGTERM")).toBe(0);
});

test("a copy within what it is of is refused before anything is written, by whichever name", async () => {
  const home = await makeHome();
  house = await startHouse(home);
  const [link, backup] = [join(home.folder, "link"), join(home.folder, "backup")];
  symlinkSync(home.data, link);
  expect(await run(home, "backup", backup)).toMatchObject({ exit: 0 });
  const before = (folder: string): readonly string[] => readdirSync(folder, { recursive: true, encoding: "utf8" });
  const [data, copied] = [before(home.data), before(backup)];
  for (const target of [home.data, link, join(home.data, "b"), join(link, "b"), join(home.data, "blobs", "x", "y")])
    expect(await run(home, "backup", target), target).toMatchObject({
      exit: 78,
      err: `semrs backup: ${target} lies in ${home.data}; name a folder elsewhere, on another disk\n`,
    });
  expect(before(home.data)).toEqual(data);
  const inside = { ...home, env: { ...home.env, DATA: join(backup, "data") } };
  expect(await run(inside, "restore", backup)).toMatchObject({
    exit: 78,
    err: `semrs restore: ${inside.env.DATA} lies in ${backup}; name a folder elsewhere, on another disk\n`,
  });
  expect(before(backup)).toEqual(copied);
  expect(await house.end("SIGTERM")).toBe(0);
});

test("what is there is not overwritten; a backup that has changed is refused or its damage named; nothing is left half made", async () => {
  const home = await makeHome();
  house = await startHouse(home);
  // Such bodies lie in files of their own.
  const load = openLoad(house.his, 1, "LARGE.", { bodyBytes: 300_000 });
  await until("accepted", () => load.acknowledged.size >= 3);
  await load.stop();
  await house.end("SIGTERM");
  const target = join(home.folder, "backup");
  expect((await run(home, "backup", target)).exit).toBe(0);
  expect(await run(home, "backup", target)).toMatchObject({
    exit: 78,
    err: expect.stringMatching(/backup is not empty/),
  });
  expect(await run(home, "restore", target)).toMatchObject({
    exit: 78,
    err: expect.stringMatching(/data is not empty/),
  });

  const blobs = readdirSync(join(target, "blobs"), { recursive: true, encoding: "utf8" }).map((name) =>
    join(target, "blobs", name),
  );
  const [blob = ""] = blobs.filter((path) => statSync(path).isFile());
  flip(blob, 100);
  const damaged = elsewhere(home);
  expect(await run(damaged, "restore", target)).toMatchObject({
    exit: 65,
    err: expect.stringMatching(/^blob: \S{8}: ENVELOPE_NOT_OPENED/m),
  });

  flip(join(target, "semrs.db"), 5000);
  const refused = elsewhere(home);
  expect(await run(refused, "restore", target)).toMatchObject({
    exit: 65,
    err: expect.stringMatching(/semrs\.db has changed since the backup/),
  });
  expect(existsSync(refused.data) || existsSync(`${refused.data}.partial`)).toBe(false);
  expect(await run(refused, "restore", home.folder)).toMatchObject({
    exit: 78,
    err: expect.stringMatching(/backup\.json cannot be read/),
  });
});

test("without the key of the backup nothing is made, so that nothing is in the way once the key is there", async () => {
  const home = await makeHome();
  const store = await openStore({ folder: home.data, key: new Uint8Array(32).fill(9), now: () => new Date() });
  await store.close();
  const target = join(home.folder, "backup");
  backUp(home.data, target, "hospital-a", new Date());
  const other = elsewhere(home);
  const is = {
    exit: 78,
    out: "",
    err: expect.stringMatching(/storage\.key is not the key of .*backup; restore storage\.key/),
  };
  expect(await run(other, "restore", target)).toMatchObject(is);
  expect(existsSync(other.data) || existsSync(`${other.data}.partial`)).toBe(false);
  restore(target, other.data, new Uint8Array(32).fill(9));
});

test("a data folder that is a link to where there is room stays one", async () => {
  const home = await makeHome();
  const key = new Uint8Array(32).fill(9);
  const now = () => new Date();
  await (await openStore({ folder: home.data, key, now })).close();
  const target = join(home.folder, "backup");
  backUp(home.data, target, "hospital-a", now());
  const [room, link] = ["room", "link"].map((name) => join(home.folder, name)) as [string, string];
  mkdirSync(room);
  symlinkSync(room, link);
  restore(target, link, key);
  expect(lstatSync(link).isSymbolicLink()).toBe(true);
  expect(readdirSync(room).sort()).toEqual(["accept.journal", "semrs.db"]);
  expect(statSync(room).mode & 0o077).toBe(0);
  await (await openStore({ folder: link, key, now })).close();
});

const disk = disks();
test.skipIf(!disk.available)(`a data folder that is a disk of its own is filled ${disk.reason}`, async () => {
  using data = makeDisk(32);
  const folder = mkdtempSync(join(tmpdir(), "semrs-to-a-disk-"));
  const [key, now] = [new Uint8Array(32), () => new Date()] as const;
  await (await openStore({ folder: join(folder, "data"), key, now })).close();
  backUp(join(folder, "data"), join(folder, "backup"), "hospital-a", now());
  restore(join(folder, "backup"), data.path, key);
  expect(readdirSync(data.path).sort()).toEqual(["accept.journal", "lost+found", "semrs.db"]);
  await (await openStore({ folder: data.path, key, now, minFreeBytes: 0, ballastBytes: 0 })).close();
});
test.skipIf(!disk.available)(
  `an index that does not fit on the disk of its backup is told as that ${disk.reason}`,
  async () => {
    using target = makeDisk(16);
    const folder = join(mkdtempSync(join(tmpdir(), "semrs-backed-up-")), "data");
    const store = await openStore({ folder, key: new Uint8Array(32), now: () => new Date() });
    const step = { subject: store.newId(), at: "", station: "test", event: "marked", detail: "x".repeat(1024 * 1024) };
    await store.commit(Array.from({ length: 20 }, () => store.steps.add(step)));
    const backup = join(target.path, "backup");
    expect(() => backUp(folder, backup, "hospital-a", new Date())).toThrow(
      expect.objectContaining({ code: "STORE_FULL", message: `${backup} does not fit on its disk` }),
    );
    expect(readdirSync(target.path)).toEqual(["lost+found"]);
    await store.close();
  },
);
