/** What a verb writes is there when it is whole: until then it has another name, and goes with the verb, however that ends. */
import { randomUUID } from "node:crypto";
import { existsSync, mkdtempSync, realpathSync, renameSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Fault, hasNoRoom } from "../errors.ts";
import { makeFolderSync } from "../folder.ts";
import { writeFileOf } from "./envelope/files.ts";

const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
const passing = new Set<string>();

/** A new folder, removed at the end of its scope, or when a signal ends the process before: nobody else would look for it. */
export const passingFolder = (name: string): Passing => passingBy(() => mkdtempSync(join(tmpdir(), name)));

type Passing = Disposable & { readonly path: string };

function passingBy(make: () => string): Passing {
  // Heard before anything is there: a signal in between would end it unheard.
  if (passing.size === 0) for (const signal of signals) process.on(signal, end);
  const path = make();
  passing.add(path);
  return {
    path,
    [Symbol.dispose]: () => {
      rmSync(path, { recursive: true, force: true });
      passing.delete(path);
      if (passing.size === 0) for (const signal of signals) process.off(signal, end);
    },
  };
}

/** As it would have ended unheard, so that a shell sees 130 or 143. */
function end(signal: NodeJS.Signals): void {
  for (const each of signals) process.off(each, end);
  try {
    // What is being written there at this moment may come behind the look at a folder.
    for (const path of passing) rmSync(path, { recursive: true, force: true, maxRetries: 3 });
  } finally {
    process.kill(process.pid, signal);
  }
}

/** Whether something is written to it as it comes: a pipe, a device. Put in its place, a file would be there for all others, too. */
export const isStream = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isFile() === false;

/** One file. */
export async function wholeFile(out: string, write: (path: string) => Promise<void>): Promise<void> {
  if (isStream(out)) return await write(out);
  const place = existsSync(out) ? realpathSync(out) : out;
  const beside = `${place}.partial`;
  rmSync(beside, { force: true });
  using _ = passingBy(() => beside);
  try {
    await write(beside);
  } catch (thrown) {
    if (!hasNoRoom(thrown)) throw thrown;
    throw new Fault("STORE_FULL", `the disk of ${out} is full; free space and try again`, { cause: thrown });
  }
  renameSync(beside, place);
}

export type Put = (name: string, body: Iterable<Uint8Array> | AsyncIterable<Uint8Array>) => Promise<void>;

/** All files of a folder, and their names. */
export async function wholeFolder(out: string, work: (put: Put) => Promise<void>): Promise<readonly string[]> {
  const beside = join(dirname(out), `.${process.pid}.${randomUUID()}.partial`);
  using _ = passingBy(() => beside);
  makeFolderSync(beside, 0o700);
  const names: string[] = [];
  await work(async (name, body) => {
    await writeFileOf(join(beside, name), body, 0o600);
    names.push(name);
  });
  rmSync(out, { recursive: true, force: true });
  renameSync(beside, out);
  return names;
}
