/** A mutant that changes nothing would be the program itself, and its fault would pass without having looked. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { mutants } from "./mutants.ts";

test.each(Object.entries(mutants))("%s finds everything that it changes", (_name, edits) => {
  for (const [file, from, to] of edits) {
    expect(readFileSync(join(import.meta.dirname, "..", "..", file), "utf8"), file).toContain(from);
    expect(to).not.toBe(from);
  }
});
