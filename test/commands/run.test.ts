/** A house whose log cannot be written ends, and says so where somebody may still see it. */
import { spawnSync } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { makeHome } from "../faults/house.ts";
import { root } from "./cli.ts";

test("a log that is full is told on standard error", async () => {
  const { folder, env } = await makeHome();
  const full = openSync("/dev/full", "w");
  const { status, stderr } = spawnSync(process.execPath, [join(root, "semrs.js"), "run"], {
    ...{ cwd: folder, env: { ...process.env, ...env }, encoding: "utf8", timeout: 30_000 },
    stdio: ["ignore", full, "pipe"],
  });
  closeSync(full);
  expect({ status, stderr }).toEqual({
    status: 70,
    stderr:
      "semrs: the log on standard output cannot be written (ENOSPC), and no house runs without one; see who reads it\n",
  });
});
