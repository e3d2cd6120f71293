/** Whose data folder it is (decision 41). */
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { backUp, restore } from "../../store/backup.ts";
import { semrs, semrsProcess } from "../commands/cli.ts";
import { makeHome, reconfigure, startHouse } from "../faults/house.ts";
import { folder, freshStore, key, open, store } from "./fresh.ts";

freshStore();

const again = async (name: string, formerly?: string): Promise<void> => {
  await store.close().catch(() => undefined); // it may not have opened
  await open({ house: { name, formerly } });
};

test("a folder without a name, as of a version before this, is the first house's; another house with its key is refused", async () => {
  await again("hospital-a");
  await again("hospital-a");
  await expect(again("hospital-b")).rejects.toMatchObject({
    code: "CONFIG_INVALID",
    message: `${folder} is the data folder of hospital-a, and this is hospital-b: give it one of its own, or, where the house was renamed, write "formerly: hospital-a" under sites.hospital-b`,
  });
  await expect(again("hospital-b", "hospital-c")).rejects.toMatchObject({ code: "CONFIG_INVALID" });
});

test("a house that was renamed keeps its folder, with or without saying so later; its former name does not", async () => {
  await again("hospital-a");
  await again("hospital-b", "hospital-a");
  await again("hospital-b", "hospital-a");
  await again("hospital-b");
  await expect(again("hospital-a")).rejects.toMatchObject({ message: expect.stringContaining("folder of hospital-b") });
});

test("a house does not start on another's folder, and does once it says that it was that one", async () => {
  const home = await makeHome();
  await (await startHouse(home)).end("SIGTERM");
  reconfigure(home, (yaml) =>
    yaml
      .replace("site: hospital-a", "site: hospital-b")
      .replace("  hospital-a:\n    data:", "  hospital-b:\n    keys: pki/hospital-a\n    data:"),
  );
  const { exit, err } = await semrsProcess(["run"], { cwd: home.folder, env: home.env });
  expect({ exit, err }).toEqual({ exit: 78, err: expect.stringContaining("is the data folder of hospital-a") });
  reconfigure(home, (yaml) => yaml.replace("    keys:", "    formerly: hospital-a\n    keys:"));
  const house = await startHouse(home);
  expect(await house.admin.get("/status")).toMatchObject({ holds: true });
  expect(await house.end("SIGTERM")).toBe(0);
});

test("another house's backup is not unpacked though the key fits, and says whose it is; the house's own is, under a new name, too", async () => {
  const home = await makeHome();
  await (await startHouse(home)).end("SIGTERM");
  const backup = join(home.folder, "backup");
  const run = (...args: readonly string[]) => semrs(args, { cwd: home.folder, env: home.env });
  expect(await run("backup", backup)).toMatchObject({ exit: 0 });
  rmSync(home.data, { recursive: true });
  reconfigure(home, (yaml) =>
    yaml
      .replace("site: hospital-a", "site: hospital-b")
      .replace("  hospital-a:\n    data:", "  hospital-b:\n    keys: pki/hospital-a\n    data:"),
  );
  expect(await run("restore", backup)).toEqual({
    exit: 78,
    out: "",
    err: `semrs restore: ${backup} is a backup of hospital-a, and this is hospital-b: give it one of its own, or, where the house was renamed, write "formerly: hospital-a" under sites.hospital-b\n`,
  });
  expect(existsSync(home.data) || existsSync(`${home.data}.partial`)).toBe(false);
  reconfigure(home, (yaml) => yaml.replace("    keys:", "    formerly: hospital-a\n    keys:"));
  expect(await run("restore", backup)).toMatchObject({ exit: 0 });
});

test("a backup of a version that wrote no name into the folder is the house's that has taken it", async () => {
  const [backup, restored] = ["backup", "restored"].map((each) => join(folder, "..", each)) as [string, string];
  backUp(folder, backup, "hospital-a", new Date());
  expect(() => restore(backup, restored, key, { name: "hospital-b" })).toThrow("is a backup of hospital-a");
  restore(backup, restored, key, { name: "hospital-a" });
});
