/** Exit codes of sysexits.h, which service managers and scripts understand, and the one way in which a verb ends. */
import { type Command, InvalidArgumentError } from "commander";
import { codeOf, type ErrorCode, Fault, reasonOf } from "../errors.ts";

export const exits = { ok: 0, failed: 1, usage: 64, data: 65, unavailable: 69, software: 70, config: 78 } as const;

const byCode: Partial<Record<ErrorCode, number>> = {
  CONFIG_INVALID: exits.config,
  QUERY_INVALID: exits.usage,
  PEER_UNREACHABLE: exits.unavailable,
  PEER_BUSY: exits.unavailable,
  PEER_AMBIGUOUS: exits.unavailable,
  ALREADY_RUNNING: exits.unavailable,
  STORE_FULL: exits.unavailable,
  UNEXPECTED: exits.software,
};

/** A wrong use is thrown at every depth, and ends with 64; commander itself would exit with 1. */
export function overridden(command: Command): Command {
  for (const each of command.commands) overridden(each);
  return command.exitOverride();
}

/** What a fault means to a script: 64 a wrong use, 78 configuration, 69 try later, 70 a defect, 65 everything else. */
export const exitOf = (thrown: unknown): number => byCode[codeOf(thrown)] ?? exits.data;

const files: Readonly<Record<string, readonly [ErrorCode, string]>> = {
  ENOENT: ["QUERY_INVALID", "is not there; is this the right folder?"],
  ENOTDIR: ["QUERY_INVALID", "lies below something that is no folder"],
  EISDIR: ["QUERY_INVALID", "is a folder"],
  EEXIST: ["QUERY_INVALID", "is there already"],
  ENOTEMPTY: ["QUERY_INVALID", "is not empty"],
  EBUSY: ["QUERY_INVALID", "is in use, as the place of a disk is"],
  EACCES: ["QUERY_INVALID", "is closed to this user"],
  EPERM: ["QUERY_INVALID", "is closed to this user"],
  ELOOP: ["QUERY_INVALID", "is a link that leads back to itself"],
  ENAMETOOLONG: ["QUERY_INVALID", "is longer than a name may be"],
  EROFS: ["QUERY_INVALID", "is on a disk that takes no writes"],
  ENOSPC: ["STORE_FULL", "does not fit: the disk is full"],
  EDQUOT: ["STORE_FULL", "does not fit: this user's quota is used up"],
};

type Renamed = { readonly dest?: string };

/** A file or an argument that a person named wrongly is no defect: it is told as theirs. */
export function ofAPerson(thrown: unknown): unknown {
  if (thrown instanceof InvalidArgumentError) return new Fault("QUERY_INVALID", thrown.message, { cause: thrown });
  // Of a rename a person named the file that was to be made.
  const { code = "", path, dest = path } = (thrown instanceof Error ? thrown : {}) as NodeJS.ErrnoException & Renamed;
  const known = files[code];
  // A read or a write of what is open already names no path.
  const named = dest === "" ? "an empty name" : (dest ?? "a file that was named");
  return known ? new Fault(known[0], `${named} ${known[1]}`, { cause: thrown }) : thrown;
}

/** Runs a verb; a fault is told on standard error in one line and becomes the exit code. */
export async function guarded(verb: string, work: () => void | Promise<void>): Promise<void> {
  try {
    await work();
  } catch (caught) {
    // Who reads has seen enough (`| head`), and knows that what it was given is not whole. Of a peer it would be a fault.
    if (caught instanceof Error && (caught as NodeJS.ErrnoException).code === "EPIPE") {
      process.exitCode = exits.failed;
      return;
    }
    const thrown = ofAPerson(caught);
    say(`semrs ${verb}: ${reasonOf(thrown)}`);
    if (!(thrown instanceof Fault)) process.stderr.write(`${(thrown as Error).stack}\n`);
    process.exitCode = exitOf(thrown);
  }
}

/** What a terminal obeys instead of showing it: others write control ids, file names and reasons. */
const obeyed = /[\p{Cc}\p{Bidi_Control}]/gu;
const escaped = (sign: string): string => `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`;
/** Text of others within a line: it ends none, and moves nothing; as JSON writes it. */
export const inLine = (text: string): string => text.replace(obeyed, escaped);
const inLines = (text: string): string =>
  text.replace(obeyed, (sign) => (sign === "\n" || sign === "\t" ? sign : escaped(sign)));

/** Data goes to standard output. */
export const print = (text: string): void => void process.stdout.write(`${inLines(text)}\n`);
/** Talk goes to standard error. */
export const say = (text: string): void => void process.stderr.write(`${inLines(text)}\n`);
/** Rows in columns that line up; the last is as long as it is. */
export function columns(told: readonly (readonly string[])[]): readonly string[] {
  const rows = told.map((row) => row.map(inLine));
  const widths = (rows[0] ?? []).map((_, index) => Math.max(...rows.map((row) => row[index]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, index) => (index === row.length - 1 ? cell : cell.padEnd(widths[index] ?? 0)))
      .join("  ")
      .trimEnd(),
  );
}
