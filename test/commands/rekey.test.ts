/** `semrs rekey` of a house that has something. */
import { readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { type Home, type House, makeHome, startHouse } from "../faults/house.ts";
import { lostOf, openLoad } from "../faults/load.ts";
import { until } from "../sites.ts";
import { type Ran, semrs } from "./cli.ts";

let house: House | undefined;
afterEach(async () => {
  await house?.end("SIGKILL");
  house = undefined;
});

const run = ({ folder, env }: Home, ...args: readonly string[]): Promise<Ran> => semrs(args, { cwd: folder, env });
const keysOf = ({ folder }: Home): string => join(folder, "pki", "hospital-a");
const keyFile = (home: Home): string => join(keysOf(home), "storage.key");

/** A house that has acknowledged some, and what. */
async function filled(): Promise<{ readonly home: Home; readonly acknowledged: ReadonlyMap<string, string> }> {
  const home = await makeHome();
  house = await startHouse(home);
  const load = openLoad(house.his, 2, "BEFORE.");
  await until("something is acknowledged", () => load.acknowledged.size > 5);
  await load.stop();
  return { home, acknowledged: load.acknowledged };
}

test("a house goes on under a new key with all that it had; a backup of before needs the one before, which is kept", async () => {
  const { home, acknowledged } = await filled();
  const backup = join(home.folder, "backup");
  expect(await run(home, "backup", backup)).toMatchObject({ exit: 0 });
  expect(await run(home, "rekey")).toMatchObject({ exit: 69, err: expect.stringContaining("stop it") });
  expect(await house?.end("SIGTERM")).toBe(0);
  const before = readFileSync(keyFile(home), "utf8");

  const { exit, out } = await run(home, "rekey");
  expect(exit).toBe(0);
  const [, kept = ""] = readdirSync(keysOf(home)).filter((name) => name.startsWith("storage.key"));
  expect(kept).toMatch(/^storage\.key\.\d{8}T\d{6}Z$/);
  expect(out).toContain(kept);
  const after = readFileSync(keyFile(home), "utf8");
  expect([readFileSync(join(keysOf(home), kept), "utf8"), after]).toEqual([
    before,
    expect.stringMatching(/^[0-9a-f]{64}\n$/),
  ]);
  expect(after).not.toBe(before);
  expect(out).not.toContain(after.trim());
  for (const name of ["storage.key", kept]) expect(statSync(join(keysOf(home), name)).mode & 0o777).toBe(0o600);
  expect(await run(home, "check")).toMatchObject({ exit: 0 });

  house = await startHouse(home);
  expect(await house.admin.get("/status")).toMatchObject({ holds: true, acknowledged: acknowledged.size });
  expect(await lostOf(house, acknowledged)).toEqual([]);
  expect(await house.end("SIGTERM")).toBe(0);
  expect(await run(home, "verify")).toMatchObject({ exit: 0 });

  rmSync(home.data, { recursive: true });
  expect(await run(home, "restore", backup)).toMatchObject({
    exit: 78,
    err: expect.stringContaining("is not the key of"),
  });
  renameSync(join(keysOf(home), kept), keyFile(home));
  expect(await run(home, "restore", backup)).toMatchObject({ exit: 0 });
});

test("a key that comes from elsewhere is prepared, put in its place by whoever brings it, and ends the one before with the next start", async () => {
  const { home, acknowledged } = await filled();
  expect(await house?.end("SIGTERM")).toBe(0);
  const before = readFileSync(keyFile(home), "utf8");
  const next = join(home.folder, "next");
  const refused = async (content: string | undefined, says: string): Promise<void> => {
    if (content !== undefined) writeFileSync(next, content);
    expect(await run(home, "rekey", "--next", next)).toMatchObject({ exit: 78, err: expect.stringContaining(says) });
  };
  await refused(undefined, `${next} does not exist; openssl rand -hex 32 makes one`);
  await refused("abc", "must hold 32 octets in hexadecimal; openssl rand");
  await refused(before, "is the storage.key that there is");
  writeFileSync(next, `${"ab".repeat(32)}\n`);
  expect(await run(home, "rekey", "--next", next)).toMatchObject({
    exit: 0,
    out: expect.stringContaining("opens with"),
  });
  expect(readFileSync(keyFile(home), "utf8")).toBe(before);
  renameSync(next, keyFile(home));
  house = await startHouse(home);
  expect(await lostOf(house, acknowledged)).toEqual([]);
  expect(await house.end("SIGTERM")).toBe(0);
  writeFileSync(keyFile(home), before);
  expect(await run(home, "verify")).toMatchObject({ exit: 78, err: expect.stringContaining("is not the key of") });
});
