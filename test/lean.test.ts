/** How a house's process begins: with what V8 and malloc take at a start alone. */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";

const lean = join(import.meta.dirname, "..", "lean.js");
const told = "process.stdout.write(JSON.stringify([process.execArgv, process.env.MALLOC_ARENA_MAX, process.pid]))";

const begun = (env: Readonly<Record<string, string>>): readonly [readonly string[], string, number] => {
  const { MALLOC_ARENA_MAX: _, ...own } = process.env;
  const out = execFileSync(process.execPath, ["--import", lean, "-e", told], {
    env: { ...own, ...env },
    encoding: "utf8",
  });
  return JSON.parse(out) as [string[], string, number];
};

test("a house begins anew with a small young generation and one arena of malloc", () => {
  const [flags, arenas] = begun({});
  expect(flags.filter((flag) => flag === "--max-semi-space-size=2")).toHaveLength(1);
  expect(arenas).toBe("1");
});

test("what the unit of a house says of its arenas holds", () => {
  expect(begun({ MALLOC_ARENA_MAX: "4" })[1]).toBe("4");
});
