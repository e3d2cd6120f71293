/** The page of an exported folder, as whoever verifies it reads it. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";

/** The lines that a reader is to type. */
export const commandsIn = (folder: string): readonly string[] =>
  readFileSync(join(folder, "README.md"), "utf8")
    .split("\n")
    .filter((line) => line.startsWith("$ "))
    .map((line) => line.slice(2));

/** Types them all; throws at the first that does not end with 0. By `sh`, which every Unix has. */
export function run(folder: string): void {
  for (const command of commandsIn(folder)) execFileSync("sh", ["-c", command], { cwd: folder, stdio: "pipe" });
}
