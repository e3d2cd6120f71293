/** A power cut while bodies go to files (reliability.md F2): of everything acknowledged every octet is there. */
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { type Ran, semrs } from "../commands/cli.ts";
import { until } from "../sites.ts";
import { type Disk, disks, makeDisk } from "./disk.ts";
import { type Home, type House, makeHome, startHouse } from "./house.ts";
import { type Load, lostOf, openLoad } from "./load.ts";
import { envOf, type Mutant } from "./mutants.ts";

const disk = disks();
let house: House | undefined;
let mounted: Disk | undefined;
afterEach(async () => {
  await house?.end("SIGKILL");
  mounted?.remove();
  [house, mounted] = [undefined, undefined];
});

/** Reports too large for the index, and a power cut; the machine is up again, the house is not. */
async function cutUnderLoad(
  mutant?: Mutant,
): Promise<{ readonly home: Home; readonly acknowledged: Load["acknowledged"] }> {
  mounted = makeDisk(256);
  const home = await makeHome(join(mounted.path, "data"));
  house = await startHouse(mutant ? { ...home, env: { ...home.env, ...envOf(mutant) } } : home);
  const load = openLoad(house.his, 4, "FILE.", { bodyBytes: 200_000 });
  await until("load is under way", () => load.acknowledged.size >= 40);
  mounted.cut();
  await house.end("SIGKILL");
  await load.stop();
  mounted.restore();
  return { home, acknowledged: load.acknowledged };
}

/** What the whole store says of itself. */
const verify = ({ folder, env }: Home): Promise<Ran> => semrs(["verify"], { cwd: folder, env });

describe.skipIf(!disk.available)(`a disk of its own ${disk.reason}`, () => {
  test("F2 nothing that was acknowledged is lost or damaged", async () => {
    const { home, acknowledged } = await cutUnderLoad();
    house = await startHouse(home);
    const lost = await lostOf(house, acknowledged);
    const { out, err, exit } = await verify(home);
    expect({ lost, exit, said: err }).toEqual({ lost: [], exit: 0, said: "" });
    expect(Number(/(\d+) blobs/.exec(out)?.[1])).toBeGreaterThanOrEqual(40);
  }, 120_000);

  // Not started: a house whose last files are not as long as its index says refuses to.
  test("F2 the same cut convicts a house that does not wait for its files", async () => {
    const { home } = await cutUnderLoad("files-unsynced");
    const { err, exit } = await verify(home);
    expect(exit).toBe(65);
    expect(err).toMatch(/^blob: .*STORE_DAMAGED/m);
  }, 120_000);
});
