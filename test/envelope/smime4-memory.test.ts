import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";

/** Measured: 110 to 150, whatever the size: buffers of a mebibyte wait to be collected. What is read is 256, 350 on the wire. */
const mostMebibytes = 192;

test("a record of 256 MiB is sealed and opened as S/MIME in memory well below its size", async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [join(import.meta.dirname, "smime4-memory.ts")]);
  expect(Number(stdout)).toBeGreaterThan(0);
  expect(Number(stdout)).toBeLessThan(mostMebibytes);
}, 180_000);
