/** Where the time goes: a profile is summed by who called, a section replaces the one of its name. */
import { join } from "node:path";
import { expect, test } from "vitest";
import { byFile, byKind, type Profile } from "../bench/profiled.ts";
import { sectionOf, withSections } from "../bench/where.ts";

const root = join(import.meta.dirname, "..");
const frame = (functionName: string, url = "") => ({ functionName, url });
const profile: Profile = {
  nodes: [
    { id: 1, callFrame: frame("(root)"), children: [2, 4, 6, 7, 8] },
    { id: 2, callFrame: frame("seal", `file://${root}/envelope/seal.ts`), children: [3] },
    { id: 3, callFrame: frame("sign"), children: [] },
    { id: 4, callFrame: frame("parse", `file://${root}/node_modules/@medplum/hl7/x.js`), children: [5] },
    { id: 5, callFrame: frame("emit", "node:events") },
    { id: 6, callFrame: frame("(idle)") },
    { id: 7, callFrame: frame("(garbage collector)") },
    { id: 8, callFrame: frame("(program)") },
  ],
  samples: [2, 3, 3, 5, 6, 7, 8],
  timeDeltas: [1000, 2000, 3000, 4000, 50_000, 500, 250],
};

test("native code is for the file that called it; idle time for nobody", () => {
  expect(byFile(profile)).toEqual({
    "envelope/seal.ts": 6,
    "@medplum/hl7": 4,
    garbage: 0.5,
    "Node's own, called by its loop": 0.25,
  });
  expect(byKind(profile)).toEqual({ cryptography: 6, other: 4.25, garbage: 0.5 });
});

test("a section tells threads and files, the largest first, and what is left of them", () => {
  const names = Array.from({ length: 18 }, (_, n) => [`file-${n}.ts`, 18 - n] as const);
  const where = {
    name: "ADT in",
    unit: "messages/s",
    threads: { writer: 0.1, main: 0.25 },
    files: Object.fromEntries(names),
  };
  const lines = sectionOf(where, "2026-01-02").split("\n");
  expect(lines[0]).toBe("## ADT in");
  expect(lines[2]).toBe("2026-01-02. CPU in ms each (messages): main 0.250, writer 0.100.");
  expect(lines[6]).toBe("| file-0.ts | 18.0 | 10.5 % |");
  expect(lines.at(-2)).toBe("| the rest | 3.00 | 1.8 % |");
});

test("a section takes the place of the one of its name, and the others stay", () => {
  const page = "# Head\n\ntext\n\n## one\n\nold\n\n## two\n\nkept\n";
  const after = withSections(page, ["## one\n\nnew\n", "## three\n\nfresh\n"]);
  expect(after).toBe("# Head\n\ntext\n\n## two\n\nkept\n\n## one\n\nnew\n\n## three\n\nfresh\n");
});
