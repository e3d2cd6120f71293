/** Which outside programs and test data a test may use here, and why not. */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname, "..");

/** A program on the PATH, or a Python module written `python3:module`. Absent is a failure under REQUIRE_PEERS. */
export function peer(name: string): { readonly available: boolean; readonly reason: string } {
  const [program = "", module] = name.split(":");
  const command: [string, string[]] = module
    ? ["/usr/bin/python3", ["-c", `import ${module}`]]
    : ["/bin/sh", ["-c", 'command -v "$0"', program]];
  try {
    execFileSync(...command, { stdio: "ignore" });
    return { available: true, reason: "" };
  } catch {
    if (process.env.REQUIRE_PEERS) throw new Error(`${name} is required here and not installed`);
    return { available: false, reason: `${name} is not installed` };
  }
}

/** A folder of third-party test data that lies beside the checkout. Absent is a failure under REQUIRE_FIXTURES. */
export function fixtures(folder: string): {
  readonly available: boolean;
  readonly path: string;
  readonly reason: string;
} {
  const path = join(root, "..", "shared", "fixtures", folder);
  if (existsSync(path)) return { available: true, path, reason: "" };
  if (process.env.REQUIRE_FIXTURES) throw new Error(`${path} is required here and missing`);
  return { available: false, path, reason: `no third-party test data in ${folder}` };
}
