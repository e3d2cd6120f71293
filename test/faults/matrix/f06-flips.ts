/** F6: one bit flips in what hospital A has on its disk. */
import { closeSync, cpSync, mkdtempSync, openSync, readdirSync, readSync, rmSync, statSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { semrs } from "../../commands/cli.ts";
import type { Chance } from "../../seeded.ts";
import { until } from "../../sites.ts";
import { type Home, makeHome, startHouse } from "../house.ts";
import { lostOf, openLoad } from "../load.ts";
import type { Trial } from "./trial.ts";

const rounds = 8;
const places = ["accept.journal", "semrs.db", "blobs"] as const;

/** Files of a data folder that belong to a place. */
const filesOf = (data: string, place: string): readonly string[] => {
  const path = join(data, place);
  if (statSync(path).isFile()) return [path];
  const names = readdirSync(path, { recursive: true, encoding: "utf8" });
  return names.map((name) => join(path, name)).filter((file) => statSync(file).isFile());
};

function flip(file: string, random: Chance): void {
  const at = random(statSync(file).size);
  const handle = openSync(file, "r+");
  const octet = Buffer.alloc(1);
  readSync(handle, octet, 0, 1, at);
  octet[0] = (octet[0] ?? 0) ^ (1 << random(8));
  writeSync(handle, octet, 0, 1, at);
  closeSync(handle);
}

/** Whether a house that verifies whole still has everything that was acknowledged. */
async function hasAll(home: Home, acknowledged: ReadonlyMap<string, string>): Promise<boolean> {
  const house = await startHouse(home);
  try {
    return (await lostOf(house, acknowledged)).length === 0;
  } finally {
    await house.end("SIGKILL");
  }
}

export const flips: Trial = {
  id: "F6",
  fault: `one bit flipped in journal, database or a blob × ${rounds} each`,
  criterion: "named by `semrs verify`, or nothing was hurt by it",
  run: async ({ random, told }) => {
    const home = await makeHome();
    const copies = mkdtempSync(join(tmpdir(), "semrs-flips-"));
    const acknowledged = new Map<string, string>();
    try {
      const house = await startHouse(home);
      for (const [prefix, bodyBytes] of [["SMALL.", 200] as const, ["LARGE.", 200_000] as const]) {
        const load = openLoad(house.his, 2, prefix, { bodyBytes });
        await until("accepted", () => load.acknowledged.size >= 20);
        await load.stop();
        for (const [id, digest] of load.acknowledged) acknowledged.set(id, digest);
      }
      await house.end("SIGTERM");
      const notes: string[] = [];
      let silent = 0;
      for (const place of places) {
        let [named, harmless] = [0, 0];
        for (let round = 0; round < rounds; round += 1) {
          const data = join(copies, `${place}-${round}`);
          cpSync(home.data, data, { recursive: true });
          const hurt = { ...home, data, env: { ...home.env, DATA: data } };
          const files = filesOf(data, place);
          flip(files[random(files.length)] ?? "", random);
          const { exit } = await semrs(["verify"], { cwd: hurt.folder, env: hurt.env });
          if (exit !== 0) named += 1;
          else if (await hasAll(hurt, acknowledged)) harmless += 1;
          else silent += 1;
          rmSync(data, { recursive: true });
        }
        notes.push(`${place}: ${named} named, ${harmless} where nothing is`);
        told(notes.at(-1) ?? "");
      }
      const counted = { acknowledged: acknowledged.size, lost: silent, corrupt: 0, duplicates: 0 };
      return { ...counted, drainedMs: null, notes, failures: [] };
    } finally {
      rmSync(copies, { recursive: true, force: true });
      rmSync(home.folder, { recursive: true, force: true });
    }
  },
};
