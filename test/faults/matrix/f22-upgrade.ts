/** F22: an upgrade of hospital A with a queue, across a change of its tables; and the way back. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { root } from "../../commands/cli.ts";
import { until } from "../../sites.ts";
import { type Home, startHouse } from "../house.ts";
import { lostOf, openLoad } from "../load.ts";
import { openExchange } from "./exchange.ts";
import type { Trial } from "./trial.ts";

const connections = 4;

/** The version before the tables changed last, in a folder. */
function before(): { readonly folder: string; readonly commit: string } {
  const git = (...args: readonly string[]): string => execFileSync("git", args, { cwd: root }).toString().trim();
  const commit = git("rev-parse", "--short", `${git("log", "-n1", "--format=%H", "--", "store/schema.ts")}^`);
  const folder = mkdtempSync(join(tmpdir(), "semrs-before-"));
  const archive = execFileSync("git", ["archive", commit], { cwd: root, maxBuffer: 512 * 1024 * 1024 });
  execFileSync("tar", ["-x", "-C", folder], { input: archive });
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  return { folder, commit };
}

export const upgrade: Trial = {
  id: "F22",
  fault: "hospital A upgraded across a change of its tables, with a queue; then back",
  criterion: "the queue drains; the older version refuses newer data, and runs from the backup",
  run: async ({ told }) => {
    const older = before();
    let program = older.folder;
    const scratch = mkdtempSync(join(tmpdir(), "semrs-upgrade-"));
    try {
      // What the older version does not know is left out.
      const edit = (yaml: string): string => yaml.replace(/, owner: hospital-[ab]/g, "");
      await using exchange = await openExchange({ program: () => program, edit });
      const { his } = exchange.house("hospital-a");
      const { signal } = exchange;
      await exchange.house("hospital-b").end("SIGTERM");
      const first = openLoad(his, connections, "OLD.", { perPatient: 5, isInsisting: true, everyMs: 100, signal });
      await until("there is a queue", () => first.acknowledged.size > 40, 60_000);
      await first.stop();
      const stopped = await exchange.house("hospital-a").end("SIGTERM");
      const home = exchange.homes["hospital-a"];
      const backup = join(scratch, "backup");
      const saved = run(older.folder, ["backup", backup], home);
      program = root;
      const ms = await exchange.start("hospital-a");
      told(`from ${older.commit}: ready in ${Math.round(ms)} ms`);
      const second = openLoad(his, connections, "NEW.", { perPatient: 5, isInsisting: true, everyMs: 100, signal });
      await until("the new version accepts", () => second.acknowledged.size > 20, 60_000);
      await second.stop();
      await exchange.house("hospital-a").end("SIGTERM");
      // The way back: not with this data …
      const refusal = await startHouse({ ...home, program: older.folder }).then(
        async (house) => `it started, ${await house.end("SIGKILL")}`,
        (thrown: Error) => thrown.message,
      );
      // … but with what was backed up.
      const DATA = join(scratch, "restored");
      mkdirSync(DATA);
      const restored = { ...home, data: join(DATA, "hospital-a"), env: { ...home.env, DATA } };
      const exit = run(older.folder, ["restore", backup], restored);
      const again = await startHouse({ ...restored, program: older.folder });
      const missing = (await lostOf(again, first.acknowledged)).length;
      await again.end("SIGKILL");
      await exchange.start("hospital-a");
      await exchange.start("hospital-b");
      const ledgers = [first, second];
      const drainedMs = await exchange.drain(ledgers);
      return await exchange.figures(ledgers, drainedMs, {
        notes: [`from ${older.commit}, with ${first.acknowledged.size} queued`],
        criteria: {
          "the old version stops and the backup is made": stopped === 0 && saved === 0,
          "the older version refuses newer data": /made by a newer semrs/.test(refusal),
          [`it runs from the backup (restore ${exit}, ${missing} missing)`]: exit === 0 && missing === 0,
        },
      });
    } finally {
      for (const folder of [older.folder, scratch]) rmSync(folder, { recursive: true, force: true });
    }
  },
};

/** Runs a verb of a version on a home; its exit code. */
const run = (program: string, args: readonly string[], { folder, env }: Home): number | null =>
  spawnSync(process.execPath, [join(program, "semrs.js"), ...args], {
    cwd: folder,
    env: { ...process.env, ...env },
    stdio: "ignore",
  }).status;
