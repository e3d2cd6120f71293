/** A power cut while bodies go to files (reliability.md F2): of everything acknowledged every octet is there. */
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { type Ran, semrs } from "../commands/cli.ts";
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

/** Reports too large for the index, one power cut, one start: what is not there, and what the whole store says of itself. */
async function cutUnderLoad(mutant?: Mutant): Promise<{ readonly lost: readonly string[]; readonly verified: Ran }> {
  mounted = makeDisk(256);
  const made = await makeHome(join(mounted.path, "data"));
  const home = mutant ? { ...made, env: { ...made.env, ...envOf(mutant) } } : made;
  house = await startHouse(home);
  const load = openLoad(house.his, 4, "FILE.", { bodyBytes: 200_000 });
  await until("load is under way", () => load.acknowledged.size >= 40);
  mounted.cut();
  await house.end("SIGKILL");
  await load.stop();
  mounted.restore();
  house = await startHouse(made);
  const lost = await lostOf(house, load.acknowledged);
  return { lost, verified: await semrs(["verify"], { cwd: made.folder, env: made.env }) };
}

describe.skipIf(!disk.available)(`a disk of its own ${disk.reason}`, () => {
  test("F2 nothing that was acknowledged is lost or damaged", async () => {
    const { lost, verified } = await cutUnderLoad();
    expect({ lost, exit: verified.exit, said: verified.err }).toEqual({ lost: [], exit: 0, said: "" });
    expect(Number(/(\d+) blobs/.exec(verified.out)?.[1])).toBeGreaterThanOrEqual(40);
  }, 120_000);

  test("F2 the same cut convicts a house that does not wait for its files", async () => {
    const { verified } = await cutUnderLoad("files-unsynced");
    expect(verified.exit).toBe(65);
    expect(verified.err).toMatch(/^blob: .*STORE_DAMAGED/m);
  }, 120_000);
});
