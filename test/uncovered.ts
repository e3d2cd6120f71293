/** Compares what no test ran (`npm run coverage`) with the list in envelope/COVERAGE.md: each tells of the same statements. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

type Place = { readonly start: { readonly line: number } };
type Covered = { readonly statementMap: Readonly<Record<string, Place>>; readonly s: Readonly<Record<string, number>> };

const root = join(import.meta.dirname, "..");
const folder = join(root, "envelope");
const report = JSON.parse(readFileSync(join(root, "node_modules/.coverage/coverage-final.json"), "utf8")) as Readonly<
  Record<string, Covered>
>;

/** `file: text of the line`, once each. */
const uncovered = new Set(
  Object.entries(report).flatMap(([file, { statementMap, s }]) => {
    const lines = readFileSync(file, "utf8").split("\n");
    return Object.entries(s)
      .filter(([, count]) => count === 0)
      .map(([id]) => `${file.slice(folder.length + 1)}: ${lines[(statementMap[id]?.start.line ?? 0) - 1]?.trim()}`);
  }),
);

// A row is | file | `statement` | reason |; a bar is escaped, and a backquote of the code is written ‘.
const rows = readFileSync(join(folder, "COVERAGE.md"), "utf8").matchAll(/^\| ([\w/.-]+\.ts) \| `(.*)` \| .+ \|$/gm);
const listed = new Set(
  [...rows].map(([, file, statement = ""]) => `${file}: ${statement.replaceAll("\\|", "|").replaceAll("‘", "`")}`),
);

const unlisted = [...uncovered].filter((each) => !listed.has(each));
const stale = [...listed].filter((each) => !uncovered.has(each));
for (const each of unlisted) process.stderr.write(`no test runs this; cover it, or list it with the reason: ${each}\n`);
for (const each of stale) process.stderr.write(`a test runs this, or it is gone; take it off the list: ${each}\n`);
process.stdout.write(
  `${Object.keys(report).length} files of envelope/, ${uncovered.size} statements that no test runs\n`,
);
process.exitCode = unlisted.length + stale.length > 0 ? 1 : 0;
