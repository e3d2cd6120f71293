/**
 * Versions of the program that break a promise on purpose, so that a fault can show that it finds them. A mutant exists only
 * in the memory of a process that was started with this file as its preload: nothing of it is in the program, and there is no
 * setting by which a user could have it.
 */
import { registerHooks } from "node:module";
import { pathToFileURL } from "node:url";

type Edit = readonly [file: string, from: string, to: string];

const full = "synchronous = FULL";

export const mutants = {
  /** The writer says yes to whatever comes, and writes it a moment later: what "write behind" does. */
  "ack-before-commit": [
    [
      "store/writer.ts",
      "waiting = [...waiting, ...unpack(parcel)];",
      "const commits = unpack(parcel); port?.postMessage(commits.map(({ n }) => ({ n }))); waiting = [...waiting, ...commits];",
    ],
    [
      "store/writer.ts",
      "const { group, rest } = nextGroup(waiting);",
      "await new Promise((resolve) => setTimeout(resolve, 400)); const { group, rest } = nextGroup(waiting);",
    ],
    ["store/writer.ts", "port?.postMessage(results);", "void results;"],
  ],
  "synchronous-normal": [
    ["store/writer.ts", full, "synchronous = NORMAL"],
    ["store/reader.ts", full, "synchronous = NORMAL"],
  ],
  /** Neither index nor accept journal waits for the disk. */
  "synchronous-off": [
    ["store/writer.ts", full, "synchronous = OFF"],
    ["store/reader.ts", full, "synchronous = OFF"],
    ["store/appender.ts", "return file.sync().then(", "return Promise.resolve().then("],
  ],
  /**
   * The octets of a body do not wait for the disk. Past the page cache they would be there, and the sync of the index brings
   * their file's size along: with ext4 nothing would be missing.
   */
  "files-unsynced": [
    ["store/blank-files.ts", " | constants.O_DSYNC", ""],
    ["store/direct.ts", "constants.O_DIRECT ?? 0", "0"],
  ],
  "no-reserve": [
    ["store/reserve.ts", "isFree = free() >= minFreeBytes;", "isFree = true;"],
    ["store/reserve.ts", "if (laid() === wantedBallastBytes) return;", "if (laid() >= 0) return;"],
  ],
  "no-budget": [
    ["connectors/mllp/budget.ts", "isOver: () => total > maxBytes &&", "isOver: () => false &&"],
    ["connectors/mllp/budget.ts", "const isOver = total > maxBytes;", "const isOver = false;"],
    ["connectors/mllp/budget.ts", "hasRoom: () => shares.size === 0 ||", "hasRoom: () => true ||"],
  ],
} as const satisfies Readonly<Record<string, readonly Edit[]>>;
export type Mutant = keyof typeof mutants;

const setting = "SEMRS_TEST_MUTANT";

/** Under these settings a program started with Node is that mutant, its worker threads as well. */
export const envOf = (mutant: Mutant): Readonly<Record<string, string>> => ({
  NODE_OPTIONS: `--import=${pathToFileURL(import.meta.filename).href}`,
  [setting]: mutant,
});

const chosen = process.env[setting] as Mutant | undefined;
if (chosen) {
  const edits: readonly Edit[] = mutants[chosen];
  registerHooks({
    load: (url, context, next) => {
      const loaded = next(url, context);
      const own = edits.filter(([file]) => url.endsWith(`/${file}`));
      if (own.length === 0) return loaded;
      let source = Buffer.from(loaded.source as Uint8Array).toString();
      for (const [file, from, to] of own) {
        if (!source.includes(from)) throw new Error(`the mutant ${chosen} finds nothing to change in ${file}`);
        source = source.replaceAll(from, to);
      }
      return { ...loaded, source };
    },
  });
}
