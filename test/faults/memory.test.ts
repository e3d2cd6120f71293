/** A house in little memory under a flood of frames that never end (F11): it is not ended by the kernel, and serves its clients. */
import { accessSync, constants } from "node:fs";
import { expect, test } from "vitest";
import { chanceOf } from "../seeded.ts";
import { memory } from "./matrix/f11-memory.ts";

const groups = "/sys/fs/cgroup/memory";
const isLimitable = (): boolean => {
  try {
    accessSync(groups, constants.W_OK);
    accessSync(`${groups}/memory.limit_in_bytes`, constants.R_OK);
    return true;
  } catch {
    return false;
  }
};

test.skipIf(!isLimitable())(
  `${memory.fault}: ${memory.criterion} (needs root and control groups, version 1)`,
  { timeout: 300_000 },
  async () => {
    const context = { random: chanceOf(1), env: {}, isMutant: false, told: () => undefined };
    expect(await memory.run(context)).toMatchObject({ lost: 0, corrupt: 0, failures: [] });
  },
);
