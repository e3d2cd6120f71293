/** Whose data folder it is (decision 41). */
import { expect, test } from "vitest";
import { semrsProcess } from "../commands/cli.ts";
import { makeHome, reconfigure, startHouse } from "../faults/house.ts";
import { folder, freshStore, open, store } from "./fresh.ts";

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
